"""AWS inside this process: moto behind a fast front, repaired where its behaviour is not AWS's."""
