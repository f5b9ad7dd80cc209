#!/usr/bin/env bash
# Reads records from a server that speaks S3 and checks every signature: moto, from PyPI (AWS's protocol, not AWS). Distributions
# package no such server, so this is no part of the tests.
#   scripts/check_s3.sh [LOCKSTEP]        LOCKSTEP: the program (default: build/release/bin/lockstep)
source "$(dirname "$0")/lib/setup.sh"

lockstep=$(realpath "${1:-build/release/bin/lockstep}")
[ -x "$lockstep" ] || die "no such program: $lockstep"
python=$(make_venv s3 'moto[s3,server]')
work=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
# The first three requests make a user with keys; from then on nothing goes without a right signature.
INITIAL_NO_AUTH_ACTION_COUNT=3 "$(dirname "$python")/moto_server" -p "$port" >"$work/log" 2>&1 &
server=$!
trap 'kill "$server"; rm -rf "$work"' EXIT
export no_proxy=127.0.0.1 AWS_ENDPOINT_URL_S3=http://127.0.0.1:$port AWS_REGION=us-east-1
for ((i = 0; i < 100; ++i)); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  sleep 0.2
done

"$python" - "$AWS_ENDPOINT_URL_S3" >"$work/keys" <<'END'
import glob, json, os, sys
import boto3

where = dict(endpoint_url=sys.argv[1], region_name="us-east-1")
iam = boto3.client("iam", **where, aws_access_key_id="none", aws_secret_access_key="none")
iam.create_user(UserName="reader")
everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=json.dumps(everything))
keys = iam.create_access_key(UserName="reader")["AccessKey"]
s3 = boto3.client("s3", **where, aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"])
s3.create_bucket(Bucket="bucket")
for path in glob.glob("examples/data/digits-*.tfrecord"):
    s3.upload_file(path, "bucket", "a folder/" + os.path.basename(path))
print(keys["AccessKeyId"], keys["SecretAccessKey"])
END
read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY <"$work/keys"
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY

"$lockstep" records verify 's3://bucket/a folder/digits-*.tfrecord'
"$lockstep" records stat 's3://bucket/a folder/digits-train*.tfrecord' | grep fingerprint >"$work/remote"
"$lockstep" records stat 'examples/data/digits-train*.tfrecord' | grep fingerprint >"$work/local"
cmp "$work/remote" "$work/local" || die "the records from the server have another fingerprint"
if AWS_SECRET_ACCESS_KEY=wrong "$lockstep" records ls 's3://bucket/a folder/digits-*.tfrecord' >"$work/refused" 2>&1; then
  die "a wrong key was not refused"
fi
grep -q SignatureDoesNotMatch "$work/refused" || die "$(cat "$work/refused")"
note "records of S3 are read, and a wrong key is refused"
