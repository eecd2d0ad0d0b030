# Asks DuckDB a question; argument 1: the folder of the location, 2: the view, 3: the question.
import glob, os, sys

import duckdb

folder, view, question = sys.argv[1:]
# The highest generation with a `_complete` object is the current one.
complete = glob.glob(os.path.join(folder, "workflow-archives-index/catalogue/g=*/_complete"))
current = max(complete, key=lambda path: int(path.split("/g=")[1].split("/")[0]))
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
db.execute(view.replace("$GENERATION", os.path.dirname(current)))
question = "\n".join(line for line in question.splitlines() if not line.startswith("--")).strip().rstrip(";")
found = db.execute(f"SELECT to_json(answer)::VARCHAR FROM ({question}) answer").fetchall()
print("[" + ",".join(row[0] for row in found) + "]")
