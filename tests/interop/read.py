# What anybody with boto3 does: list, get, unpack, parse. Arguments: endpoint, bucket, prefix.
import gzip, hashlib, json, subprocess, sys

import boto3
from botocore.config import Config

endpoint, bucket, prefix = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))
told = []
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
    for entry in page["Contents"]:
        key = entry["Key"]
        # As `aws s3 ls --recursive` prints it.
        line = f"{entry['LastModified']:%Y-%m-%d %H:%M:%S} {entry['Size']:10d} {key}"
        object = s3.get_object(Bucket=bucket, Key=key)
        body = object["Body"].read()
        plain = gzip.decompress(body) if key.endswith(".gz") else body
        if key.endswith(".gz"):
            assert subprocess.run(["gunzip", "-c"], input=body, stdout=subprocess.PIPE, check=True).stdout == plain
        told.append({
            "line": line, "key": key, "size": len(body), "sha256": hashlib.sha256(plain).hexdigest(),
            "metadata": object["Metadata"], "type": object["ContentType"], "json": json.loads(plain),
        })
json.dump(told, sys.stdout)
