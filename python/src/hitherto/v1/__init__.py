"""Messages of the package `hitherto.v1`, generated from proto/ by generate.py."""
