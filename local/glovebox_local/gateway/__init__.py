"""An API Gateway HTTP API (payload format 2.0) on a loopback port."""
