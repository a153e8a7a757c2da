#!/usr/bin/env bash
# What --start W --new-classes is worth: a supernet of five of Imagenette's classes, carried over to the other five with 50
# photographs of each, beside the same steps from random weights; both on the validation photographs of those five.
#
#     IMAGES=imagenette2-224 benchmarks/training/new_classes.sh        # an unpacked folder with train and val
set -eu
cd "$(dirname "$0")/../.."

PYTHON=${PYTHON:-python3}
IMAGES=$(realpath "${IMAGES:?a folder with train and val, each with Imagenette\'s ten classes}")
OUT=${OUT:-out/new-classes}
SEEDS=${SEEDS:-0 1}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=1
HOW=(--space mbv3-w0.35 --resolutions 48:96:4 --smallest-crop 0.25 --method uniform --subnets-per-step 1 --dropout 0
    --label-smoothing 0 --check-every 1000)

# the first five classes whole; 50 training images of each of the others, and their validation images
number=0
mkdir -p "$OUT"
for class in "$IMAGES"/train/*/; do
    name=$(basename "$class")
    number=$((number + 1))
    if [ $number -le 5 ]; then
        mkdir -p "$OUT/five/train"
        ln -sfn "$class" "$OUT/five/train/$name"
    else
        mkdir -p "$OUT/few/train/$name" "$OUT/few/val"
        find "$class" -type f | sort | head -n 50 | xargs -I{} ln -sf {} "$OUT/few/train/$name/"
        ln -sfn "$IMAGES/val/$name" "$OUT/few/val/$name"
    fi
done

[ -f "$OUT/start/supernet.safetensors" ] ||
    "$PYTHON" -m ofa.train --data "$OUT/five" "${HOW[@]}" --epochs 24 --out "$OUT/start"
for seed in $SEEDS; do
    few=(--data "$OUT/few" "${HOW[@]}" --epochs 100 --batch-size 32 --learning-rate-scale 2 --held-out 0 --seed "$seed")
    "$PYTHON" -m ofa.train "${few[@]}" --start "$OUT/start/supernet.safetensors" --new-classes --out "$OUT/carried-$seed"
    "$PYTHON" -m ofa.train "${few[@]}" --out "$OUT/scratch-$seed"
    for kind in carried scratch; do
        "$PYTHON" -m ofa.evaluate --checkpoint "$OUT/$kind-$seed/supernet.safetensors" --random 8 --resolution 96 \
            --data "$OUT/few" --out "$OUT/$kind-$seed.json"
    done
done
"$PYTHON" - "$OUT" <<'PY'
import json, sys
from pathlib import Path
for path in sorted(Path(sys.argv[1]).glob("*-*.json")):
    top1 = [row["top1"] for row in json.loads(path.read_text())["results"]]
    print(f"{path.stem}: top-1 of {len(top1)} random sub-networks {min(top1):.1f} to {max(top1):.1f}, mean {sum(top1) / len(top1):.2f} %")
PY
