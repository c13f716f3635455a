#!/bin/sh
# Ask a device with curl: sh ask.sh http://127.0.0.1:8080 MODEL INPUT '[0.1, 0.2, 0.3, 0.4]'
set -eu
url=$1 model=$2 input=$3 row=$4

count=$(printf %s "$row" | tr -cd , | wc -c)
answer=$(curl --silent --show-error --fail-with-body "$url/v2/models/$model/infer" --data "{
    \"inputs\": [{\"name\": \"$input\", \"datatype\": \"FP32\", \"shape\": [1, $((count + 1))], \"data\": $row}],
    \"outputs\": [{\"name\": \"label\"}]
}") || { echo "$answer" >&2; exit 1; }
echo "$answer"

# The right answer, whenever it is known: the device counts how often it was right.
id=$(printf %s "$answer" | sed 's/.*"prediction_id":"\([^"]*\)".*/\1/')
curl --silent --show-error --fail-with-body "$url/v2/models/$model/feedback" \
    --data "{\"id\": \"$id\", \"label\": 1}" >&2
