// Emotions by @vladmandic/human: its default network (oarriaga's big XCEPTION) on the whole
// picture, prepared as its src/gear/emotion.ts prepares a detected face: resized to the
// network's 64x64, gray by 0.2989 R + 0.5870 G + 0.1140 B, -1..1.
const fs = require('fs');
const { need, file, start, answer } = require('./pipe.js');

(async () => {
  const tf = need('@tensorflow/tfjs');
  await start(tf);
  const models = file('@vladmandic/human/models');
  const { modelTopology, weightsManifest } = JSON.parse(fs.readFileSync(`${models}/emotion.json`));
  const weights = fs.readFileSync(`${models}/emotion.bin`);
  const model = await tf.loadGraphModel(tf.io.fromMemory({
    modelTopology,
    weightSpecs: weightsManifest.flatMap((group) => group.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length),
  }));
  const [, rows, columns] = model.inputs[0].shape;
  await answer((rgb, height, width) => tf.tidy(() => {
    const picture = tf.tensor4d(rgb, [1, height, width, 3], 'float32').div(255);
    const small = tf.image.resizeBilinear(picture, [rows, columns], false);
    const gray = small.mul(tf.tensor1d([0.2989, 0.5870, 0.1140])).sum(3, true);
    return model.execute(gray.sub(0.5).mul(2)).dataSync();
  }));
})();
