"""Train a YOLO of ultralytics from scratch on BCCD, and measure its AP in the same way as ours.

    YOLO_PYTHON benchmarks/rival_yolo.py BCCD --out RUN [--epochs 15] [--seed 0]

A standalone program: YOLO_PYTHON is an interpreter with ultralytics and pycocotools. Nothing of
pplcnet is imported here, nor anything of ultralytics there. Ultralytics is AGPL-3.0; this file only
calls its documented interface.

BCCD has images/ and {train,val,test}.json in COCO's format, from which YOLO's text files are
written. The network is built from its YAML without weights. Settings are ultralytics' own except
for the size of 320 pixels, the epochs and the seed; its validation selects the epoch. Nothing is
downloaded: YOLO_OFFLINE is set, and one of Matplotlib's fonts is put where it looks for one. Prints
AP of the test photos from pycocotools and the CPU time of the training.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import time
import types
from pathlib import Path
from typing import Any

SPLITS = ("train", "val", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bccd", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--network", default="yolo11n.yaml")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    data = write_yolo(arguments.bccd, out / "data")
    prepare_offline(out / "settings")
    from ultralytics import YOLO, __version__

    replace_torchvision()
    started, used = time.perf_counter(), processor_seconds()
    YOLO(arguments.network).train(
        data=str(data), imgsz=320, epochs=arguments.epochs, batch=arguments.batch,
        seed=arguments.seed, pretrained=False, device="cpu", workers=2, plots=False,
        project=str(out), name="train", exist_ok=True,
    )  # fmt: skip
    minutes = (time.perf_counter() - started) / 60
    used = processor_seconds() - used
    found = boxes_of(YOLO(out / "train/weights/best.pt"), arguments.bccd, out / "test.coco.json")
    facts = {
        "network": arguments.network, "ultralytics": __version__, "epochs": arguments.epochs,
        "batch": arguments.batch, "seed": arguments.seed, "minutes": round(minutes, 2),
        "processor_seconds": round(used), **evaluated(arguments.bccd / "test.json", found),
    }  # fmt: skip
    (out / "figures.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts))


def write_yolo(bccd: Path, folder: Path) -> Path:
    """Write text files with a line per box (class, centre and size as fractions), and data.yaml.

    Boxes with no area are left out, as in `pplcnet train --skip-broken`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for split in SPLITS:
        content = json.loads((bccd / f"{split}.json").read_text())
        numbers = {each["id"]: at for at, each in enumerate(content["categories"])}
        photos, labels = folder / "images" / split, folder / "labels" / split
        photos.mkdir(parents=True)
        labels.mkdir(parents=True)
        lines: dict[int, list[str]] = {each["id"]: [] for each in content["images"]}
        sizes = {each["id"]: (each["width"], each["height"]) for each in content["images"]}
        for box in content["annotations"]:
            left, top, width, height = box["bbox"]
            if width <= 0 or height <= 0:
                continue
            full_width, full_height = sizes[box["image_id"]]
            shares = (
                (left + width / 2) / full_width, (top + height / 2) / full_height,
                width / full_width, height / full_height,
            )  # fmt: skip
            numbers_text = " ".join(f"{each:.6f}" for each in shares)
            lines[box["image_id"]].append(f"{numbers[box['category_id']]} {numbers_text}\n")
        for image in content["images"]:
            name = image["file_name"]
            (photos / name).symlink_to((bccd / "images" / name).resolve())
            (labels / name).with_suffix(".txt").write_text("".join(lines[image["id"]]))
    names = "".join(f"  {at}: {each['name']}\n" for at, each in enumerate(content["categories"]))
    parts = "".join(f"{split}: images/{split}\n" for split in SPLITS)
    yaml = folder / "data.yaml"
    yaml.write_text(f"path: {folder}\n{parts}names:\n{names}")
    return yaml


def prepare_offline(settings: Path) -> None:
    """Provide settings for this run alone and a font, so that nothing needs the internet."""
    import matplotlib

    os.environ["YOLO_OFFLINE"] = "true"
    os.environ["YOLO_CONFIG_DIR"] = str(settings)
    fonts = settings / "Ultralytics"
    fonts.mkdir(parents=True, exist_ok=True)
    font = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
    shutil.copy(font, fonts / "Arial.ttf")


def replace_torchvision() -> None:
    """Use ultralytics' own suppression if torchvision's compiled one does not load.

    torchvision's wheel is built for CUDA and cannot be imported with a CPU build of PyTorch.
    """
    from ultralytics.utils.nms import TorchNMS

    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        stand_in: Any = types.ModuleType("torchvision")
        stand_in.ops = types.SimpleNamespace(nms=TorchNMS.nms)
        sys.modules["torchvision"] = stand_in


def processor_seconds() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def boxes_of(network: Any, bccd: Path, path: Path) -> Path:
    """Write what the network finds in the test photos as a COCO results file."""
    content = json.loads((bccd / "test.json").read_text())
    categories = [each["id"] for each in content["categories"]]
    rows = []
    for image in content["images"]:
        photo = str(bccd / "images" / image["file_name"])
        (found,) = network.predict(
            photo, imgsz=320, conf=0.001, max_det=100, device="cpu", verbose=False
        )
        for box, score, number in zip(
            found.boxes.xyxy.tolist(), found.boxes.conf.tolist(), found.boxes.cls.tolist(),
            strict=True,
        ):  # fmt: skip
            left, top, right, bottom = box
            rows.append({
                "image_id": image["id"], "category_id": categories[int(number)], "score": score,
                "bbox": [left, top, right - left, bottom - top],
            })  # fmt: skip
    path.write_text(json.dumps(rows))
    return path


def evaluated(truth: Path, found: Path) -> dict[str, float]:
    """AP at IoU 0.5 to 0.95, and at 0.5."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if found.read_text() == "[]":  # pycocotools cannot read it
        return {"ap": 0.0, "ap50": 0.0}
    reference = COCO(str(truth))
    evaluation = COCOeval(reference, reference.loadRes(str(found)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {"ap": round(evaluation.stats[0], 4), "ap50": round(evaluation.stats[1], 4)}


if __name__ == "__main__":
    main()
