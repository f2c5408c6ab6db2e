"""Predictions of `facial-emotion-recognition` for a folder of face pictures.

Its class wants facenet-pytorch's detector and a GPU's pickle; this reads its network and
its weights alone and prepares a face as its `_predict` does (gray, PIL to 48x48, -1..1).
Its last layer is a sigmoid, and it takes the exponential of that before the argmax, so the
probabilities here are the softmax of numbers in 0..1: good for the order, flat as degrees
(none above .31).
"""
import argparse
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import torch
from faces import LABELS, predict_all
from PIL import Image

torch.set_num_threads(1)
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder")
parser.add_argument("out")
args = parser.parse_args()

package = Path(importlib.util.find_spec("facial_emotion_recognition").origin).parent
spec = importlib.util.spec_from_file_location("networks", package / "networks.py")
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)
network = networks.NetworkV2(in_c=1, nl=32, out_f=7)
saved = torch.load(package / "model" / "model.pkl", map_location="cpu", weights_only=True)
network.load_state_dict(saved["network"])
network.eval()


@torch.no_grad()
def predict(picture):
    gray = Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    pixels = np.asarray(gray.resize((48, 48), Image.BILINEAR), dtype="float32")
    scores = network(torch.from_numpy((pixels / 255 - 0.5) / 0.5)[None, None])
    return torch.softmax(scores[0].double(), 0).numpy()


predict_all(args.folder, args.out, LABELS, predict)
