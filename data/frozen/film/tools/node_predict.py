"""Predictions of face-api or Human, two packages for node, for a folder of face pictures.

The picture is decoded here and goes to `node <tool>.js` through a pipe as height, width
and RGB bytes; seven float32 come back.
"""
import argparse
import struct
import subprocess
from pathlib import Path

import cv2
import numpy as np
from faces import LABELS, predict_all

TOOLS = {
    "face-api": ["neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"],
    "human": LABELS,
}
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("tool", choices=TOOLS)
parser.add_argument("folder")
parser.add_argument("out")
args = parser.parse_args()
here = Path(__file__).resolve().parent
node = subprocess.Popen(["node", str(here / f"{args.tool}.js"), str(here / args.tool)],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def predict(picture):
    height, width = picture.shape[:2]
    rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    node.stdin.write(struct.pack("<II", height, width) + rgb.tobytes())
    node.stdin.flush()
    return np.frombuffer(node.stdout.read(28), dtype="<f4")


predict_all(args.folder, args.out, TOOLS[args.tool], predict)
node.stdin.close()
node.wait()
