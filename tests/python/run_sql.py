"""Statements for a SQLite file, past whoever made it: run_sql.py FILE STATEMENT… Prints the rows of the last."""

import json
import sqlite3
import sys

file, *statements = sys.argv[1:]
with sqlite3.connect(file) as connection:
    rows = []
    for statement in statements:
        rows = connection.execute(statement).fetchall()
print(json.dumps(rows))
