"""What sql.py is made of: the queries, and who is asked."""
