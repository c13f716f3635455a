#!/usr/bin/env bash
# From a checkout to a canary on devices: tests, data, training, certificate, gate, rollout.
# It stops at the first step that fails; what devices have then stays as it is.
#
#   ./deliver.sh 1.2
#
# Needs EDGE_HUB_URL, EDGE_HUB_TOKEN and RELEASES_KEY (the publisher's key, PEM).
set -euo pipefail
version=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "== Policy, and one trial at a time"
edge-hub policy plan policy.yaml
if edge-hub plan wine --json > "$work/plan" 2>&1; then
  touch "$work/serves"
  python - "$work/plan" <<'END'
import json, sys
trial = json.load(open(sys.argv[1])).get("experiment")
sys.exit(trial and f"{trial['id']} runs: deliver after its end, or stop it")
END
fi

echo "== Tests"
python -m unittest -q test_train

echo "== Data"
# Proposed first: what the checks refuse must not be what the hub's next run trains on.
edge-hub data add wine proposed wine.csv --label cultivar --source "$version"
before=()
if edge-hub data show wine train > "$work/train" 2>&1; then before=(--before train); fi
edge-hub data validate wine proposed "${before[@]}"

echo "== Train"
python train.py "$work/model.skops"

echo "== Convert, or stop with the reasons"
edge-convert convert "$work/model.skops" --data holdout.csv --label cultivar \
  --name wine --version "$version" --out "$work/release"
edge-convert verify "$work/release"

echo "== Sign and publish, if the offline gate agrees"
# The gate in force judges, not the one that this commit brings.
(umask 077 && printf '%s\n' "$RELEASES_KEY" > "$work/releases.pem")
edge-hub publish "$work/release" --key "$work/releases.pem"

echo "== The first version serves, later ones are tried as the policy says"
edge-hub policy apply policy.yaml
if [ -e "$work/serves" ]; then
  edge-hub canary wine "$version"
else
  edge-hub promote wine "$version" --reason "first release"
  # What later versions are compared on. It stays: a commit must not choose its own judge.
  edge-hub data add wine holdout holdout.csv --label cultivar --source "$version"
fi

echo "== Data in force, for what the hub trains by itself"
edge-hub data add wine train wine.csv --label cultivar --source "$version"
