# shellcheck shell=bash
# The S3 server's users, bucket and policy. Sourced by `up`, after s3.env.

s3_works() { curl -fs --max-time 2 "$S3_ENDPOINT/health"; }

# By a request that needs the last thing that is set up: the reader's right.
s3_is_set_up() { s3_curl READER --fail --head "$S3_ENDPOINT/$S3_BUCKET"; }

s3_admin() {
  "$BIN/versitygw" admin --access "$S3_ROOT_ACCESS_KEY" --secret "$S3_ROOT_SECRET_KEY" \
    --region "$S3_REGION" --endpoint-url "$S3_ENDPOINT" "$@"
}

# s3_curl USER CURL_ARGUMENT...: USER is ROOT, BACKUP or READER. Not all curls
# add the header that S3 insists on.
s3_curl() {
  local access="S3_$1_ACCESS_KEY" secret="S3_$1_SECRET_KEY"
  shift
  curl -sS --max-time 60 --aws-sigv4 "aws:amz:$S3_REGION:s3" --user "${!access}:${!secret}" \
    -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@"
}

s3_policy() {
  cat <<END
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"AWS": ["$S3_BACKUP_ACCESS_KEY"]},
   "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
   "Resource": "arn:aws:s3:::$S3_BUCKET/*"},
  {"Effect": "Allow", "Principal": {"AWS": ["$S3_BACKUP_ACCESS_KEY"]},
   "Action": ["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation"],
   "Resource": "arn:aws:s3:::$S3_BUCKET"},
  {"Effect": "Allow", "Principal": {"AWS": ["$S3_READER_ACCESS_KEY"]},
   "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::$S3_BUCKET/*"},
  {"Effect": "Allow", "Principal": {"AWS": ["$S3_READER_ACCESS_KEY"]},
   "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::$S3_BUCKET"}]}
END
}

s3_add_user() {
  local access="S3_$1_ACCESS_KEY" secret="S3_$1_SECRET_KEY"
  if ! grep -qw "${!access}" <<<"$s3_users"; then
    s3_admin create-user --access "${!access}" --secret "${!secret}" --role user >/dev/null
  fi
}

set_up_s3() {
  local s3_users status
  s3_users=$(s3_admin list-users)
  s3_add_user BACKUP
  s3_add_user READER
  status=$(s3_curl ROOT -o /dev/null -w '%{http_code}' -X PUT "$S3_ENDPOINT/$S3_BUCKET")
  # 409: it is there already.
  case $status in 200 | 409) ;; *) die "the S3 server answers $status to creating $S3_BUCKET" ;; esac
  # "policy=", because this curl does not sign a parameter without "=" as S3 does.
  s3_policy | s3_curl ROOT --fail -o /dev/null -X PUT --data-binary @- "$S3_ENDPOINT/$S3_BUCKET?policy="
}
