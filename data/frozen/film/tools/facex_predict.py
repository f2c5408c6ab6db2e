"""Predictions of `facex` for a folder of face pictures: its own `detect_emotion` on the
gray picture (resized to 200x200 by scikit-image, in the package)."""
import argparse
from pathlib import Path

import cv2
import facex.core
from faces import predict_all

CLASSES = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder")
parser.add_argument("out")
args = parser.parse_args()
assets = Path(facex.core.__file__).parent / "assets"
tool = facex.core.EmotionClassifier(str(assets / "model_optimized.tflite"), category=CLASSES)


def predict(picture):
    scores = tool.detect_emotion(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    return [scores[label] for label in CLASSES]


predict_all(args.folder, args.out, CLASSES, predict)
