#!/usr/bin/env bash
# What the recorded walk leaves out of the `cs` command line: POST, regions of a configuration file, lists, jobs not awaited.
# Environment: CLOUDSTACK_ENDPOINT CLOUDSTACK_KEY CLOUDSTACK_SECRET; arguments: name zone-id disk-id
# Prints one line a step: the step, the exit code, and what was asked of the answer.
set -u
name=$1 zone=$2 disk=$3
told() {  # step, a Python expression over the answer, command line…
  local step=$1 about=$2; shift 2
  local out; out=$("$@" 2>/dev/null); local code=$?
  python3 -c '
import json, sys
step, code, about, out = sys.argv[1:5]
try: answer = json.loads(out)
except ValueError: answer = {}
print(f"{step}: exit {code}, {eval(about)}")' "$step" "$code" "$about" "$out"
}
told "all zones" 'answer["count"]' cs listZones
told "one offering by name" '[row["name"] for row in answer["diskoffering"]]' cs listDiskOfferings name=custom-disk
told "a list that is empty" 'answer' cs listSnapshots
told "volume made by POST" 'answer["volume"]["state"]' cs --post createVolume name="$name" zoneid="$zone" diskofferingid="$disk" size=1
told "job not awaited" 'sorted(answer)' cs --async createVolume name="$name-2" zoneid="$zone" diskofferingid="$disk" size=1
told "both listed" '[row["name"] for row in answer["volume"]]' cs listVolumes keyword="$name"
told "a value with a blank and a plus" 'answer["volume"]["name"]' cs createVolume name="$name a+b" zoneid="$zone" diskofferingid="$disk" size=1
told "a value of more than one language" 'answer["volume"]["name"]' cs createVolume name="$name-über-日本" zoneid="$zone" diskofferingid="$disk" size=1
cat > cloudstack.ini <<INI
[cloudstack]
endpoint = http://127.0.0.1:1/client/api
key = nobody
secret = nothing
[home]
endpoint = $CLOUDSTACK_ENDPOINT
key = $CLOUDSTACK_KEY
secret = $CLOUDSTACK_SECRET
expiration = 60
[stranger]
endpoint = $CLOUDSTACK_ENDPOINT
key = $CLOUDSTACK_KEY
secret = another
retry = 0
INI
unset CLOUDSTACK_ENDPOINT CLOUDSTACK_KEY CLOUDSTACK_SECRET
told "a region of the configuration" 'answer["count"]' cs --region home listZones
told "a region with a wrong secret" 'answer["listzonesresponse"]["errorcode"]' cs --region stranger listZones
