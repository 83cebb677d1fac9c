#!/bin/sh
# Search by picture, check and add, with curl: sh search.sh BASE_URL PICTURE
set -eu
base_url=$1 picture=$2

# The picture itself is the body; what is asked beside it stands in the query.
curl --silent --show-error --fail-with-body --data-binary "@$picture" -H 'Content-Type: image/jpeg' \
    "$base_url/v1/search?page_size=20"
echo
# A form does as well.
curl --silent --show-error --fail-with-body -F "image=@$picture" "$base_url/v1/check?add=true&key=my-own-key"
echo
# Many at once: a line of JSON each, answered line by line.
printf '{"key":"again","image":"%s"}\n' "$(base64 <"$picture" | tr -d '\n')" |
    curl --silent --show-error --fail-with-body --no-buffer -H 'Content-Type: application/x-ndjson' \
        --data-binary @- "$base_url/v1/check?add=true"
