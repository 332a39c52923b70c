"""The outside world. Only these modules import boto3 and hopx_ai; their errors stop here."""
