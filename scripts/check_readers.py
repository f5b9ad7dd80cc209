"""Reads files of ours with the libraries that other people use: TensorFlow, TensorBoard and safetensors.

python scripts/check_readers.py LOCKSTEP FOLDER     LOCKSTEP: the program; FOLDER: where to write, made anew
Ends with an error at the first difference. Run by scripts/test.sh --part readers, from the root of the tree.
"""
import glob
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

LOCKSTEP, FOLDER = os.path.abspath(sys.argv[1]), sys.argv[2]


def check(condition, what):
    if not condition:
        sys.exit(f"readers: {what}")


def run(*arguments):
    done = subprocess.run([LOCKSTEP, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(done.returncode == 0, f"lockstep {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def shipped_records():
    spec = {"image": tf.io.FixedLenFeature([64], tf.float32), "label": tf.io.FixedLenFeature([], tf.int64)}
    count = {}
    for part in ("train", "test"):
        files = sorted(glob.glob(f"examples/data/digits-{part}*.tfrecord"))
        check(files, f"no examples/data/digits-{part}*.tfrecord")
        first = tf.train.Example.FromString(next(iter(tf.data.TFRecordDataset(files))).numpy())
        kind = first.features.feature["image"].WhichOneof("kind")
        if kind == "int64_list":
            spec["image"] = tf.io.FixedLenFeature([64], tf.int64)
        elif kind == "bytes_list":
            spec["image"] = tf.io.FixedLenFeature([], tf.string)
        labels = [int(x["label"]) for x in tf.data.TFRecordDataset(files).map(lambda r: tf.io.parse_single_example(r, spec))]
        check(set(labels) == set(range(10)), f"labels of {part} are {sorted(set(labels))}")
        count[part] = len(labels)
    check(count == {"train": 1437, "test": 360}, f"digits: {count}")
    text = 0
    for record in tf.data.TFRecordDataset(sorted(glob.glob("examples/data/text-*.tfrecord"))):
        text += sum(len(v) for v in tf.train.Example.FromString(record.numpy()).features.feature["text"].bytes_list.value)
    check(text > 1_000_000, f"the shipped text has only {text} bytes")
    print(f"TensorFlow reads the shipped records: digits {count}, text {text} bytes")


def written_records():
    path = os.path.join(FOLDER, "from-tensorflow.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for i in range(100):
            feature = {"x": tf.train.Feature(float_list=tf.train.FloatList(value=[i, i / 2])),
                       "y": tf.train.Feature(int64_list=tf.train.Int64List(value=[i])),
                       "z": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"a" * i]))}
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    run("records", "verify", path)
    check("100" in run("records", "stat", path), "`records stat` does not count TensorFlow's 100 records")
    print("lockstep reads TensorFlow's records")


def weights_sha256(tensors):
    """docs/DESIGN.md, section 6."""
    digest = hashlib.sha256()
    for name in sorted(tensors, key=lambda n: n.encode()):
        value = tensors[name]
        check(value.dtype == np.float32, f"{name} is {value.dtype}")
        for text in (name.encode(), b"F32"):
            digest.update(struct.pack("<I", len(text)) + text)
        digest.update(struct.pack("<I", value.ndim) + struct.pack(f"<{value.ndim}Q", *value.shape))
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def training_run():
    folder = os.path.join(FOLDER, "run")
    run("train", "examples/digits_mlp.textproto", "--out", folder, "--steps", "20")
    with open(os.path.join(folder, "result.json")) as file:
        result = json.load(file)
    with open(os.path.join(folder, "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    check(len(losses) == 20, f"metrics.jsonl has {len(losses)} steps")

    events = EventAccumulator(os.path.join(folder, "events")).Reload()
    name = next((tag for tag in events.Tags()["scalars"] if tag.split("/")[-1] == "loss" and "eval" not in tag), None)
    check(name, f"TensorBoard finds no loss among {events.Tags()['scalars']}")
    seen = {event.step: event.value for event in events.Scalars(name)}
    check(seen.keys() == losses.keys() and all(abs(seen[s] - losses[s]) <= 1e-6 * abs(losses[s]) for s in seen),
          "TensorBoard's losses are not those of metrics.jsonl")
    print(f"TensorBoard reads {len(seen)} losses")

    exported = os.path.join(FOLDER, "weights.safetensors")
    newest = sorted(glob.glob(os.path.join(folder, "checkpoints", "step-*")))[-1]
    run("checkpoint", "export", newest, "-o", exported)
    check(weights_sha256(load_file(exported)) == result["weights_sha256"],
          "the exported weights do not hash to weights_sha256")
    print(f"safetensors reads the weights, and they hash to weights_sha256 {result['weights_sha256'][:12]}")
    for path in glob.glob(os.path.join(newest, "*.safetensors")):
        load_file(path)


shutil.rmtree(FOLDER, ignore_errors=True)
os.makedirs(FOLDER)
shipped_records()
written_records()
training_run()
print("readers: all agree")
