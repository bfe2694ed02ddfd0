"""Faults that make photos with masks unfit for training, and remarks on such data sets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from pplcnet.data.audit import Fault
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.masks import Mask, colour_text
from pplcnet.system.wording import counted, listed

__all__ = ["faults", "mask_faults", "notes"]

NAMED = 5
VALUES_NAMED = 4
MOST_IGNORED = 0.5
"""From this share of ignored pixels on, the photo is named."""


def faults(dataset: Dataset) -> Iterator[Fault]:
    """Masks and classes that cannot be learned; faulty masks are dropped with their photos."""
    yield from mask_faults(dataset)
    for text in dataset.unpaired:
        yield Fault("mask without a photo", text)
    usable = [image for image in dataset.images if not _mask_of(image).facts_found.kind]
    yield from _palettes(dataset, usable)
    blank = [each for each in usable if not _mask_of(each).labelled and not _is_strange(each)]
    if blank:
        names = [dataset.name_of(image) for image in blank]
        yield Fault(
            "all ignored",
            "every pixel of the mask is ignored, which leaves nothing to learn, in "
            f"{counted(len(names), 'photo')}: {listed(names, NAMED)}",
            tuple(blank),
        )
    yield from _class_faults(dataset)


def mask_faults(dataset: Dataset) -> Iterator[Fault]:
    """Masks that are empty or unreliable, so that no figures may be computed from them."""
    by_kind: dict[str, list[LabelledImage]] = defaultdict(list)
    for image in dataset.images:
        if kind := _mask_of(image).facts_found.kind:
            by_kind[kind].append(image)
    for kind, images in by_kind.items():
        for image in images:
            mask = _mask_of(image)
            yield Fault(kind, f"{dataset.name_of(image)}: {mask.facts_found.fault}", (image,))
    usable = [image for image in dataset.images if not _mask_of(image).facts_found.kind]
    yield from _strange_values(dataset, usable)
    yield from _two_valued(dataset, usable)


def notes(dataset: Dataset) -> Iterator[str]:
    """Each class's share of the pixels, and how many pixels are ignored."""
    masks = [_mask_of(image) for image in dataset.images]
    areas = [sum(each.areas[at] for each in masks) for at in range(len(dataset.classes))]
    labelled, ignored = sum(areas), sum(each.ignored for each in masks)
    if labelled:
        shares = [
            f"{area / labelled:.1%} {name}"
            for name, area in zip(dataset.classes, areas, strict=True)
        ]
        yield f"share of the labelled pixels: {listed(shares, 12)}."
    if ignored:
        yield f"{ignored / (labelled + ignored):.1%} of all pixels are ignored."
    mostly = [
        dataset.name_of(image)
        for image, mask in zip(dataset.images, masks, strict=True)
        if mask.labelled and mask.ignored > MOST_IGNORED * (mask.labelled + mask.ignored)
    ]
    if mostly:
        yield (
            f"more than half of the pixels are ignored in {counted(len(mostly), 'photo')}: "
            f"{listed(mostly, NAMED)}."
        )


def _mask_of(image: LabelledImage) -> Mask:
    return cast(Mask, image.annotation)


def _is_strange(image: LabelledImage) -> bool:
    return bool(_mask_of(image).facts_found.strange)


def _strange_values(dataset: Dataset, images: Iterable[LabelledImage]) -> Iterator[Fault]:
    found = [image for image in images if _is_strange(image)]
    if not found:
        return
    totals: Counter[str] = Counter()
    for image in found:
        totals.update(dict(_mask_of(image).facts_found.strange))
    is_colour = any(_mask_of(image).coding.is_colour for image in found)
    what = "colour" if is_colour else "value"
    table = _mask_of(found[0]).coding.table
    shown = [
        f"{value} ({counted(pixels, 'pixel')})"
        for value, pixels in sorted(totals.items(), key=lambda each: -each[1])
    ]
    allowed = listed([colour_text(at) if is_colour else str(at) for at, _ in table], 12)
    names = [dataset.name_of(image) for image in found]
    yield Fault(
        "no class",
        f"the {what}{'s' * (len(totals) > 1)} {listed(shown, VALUES_NAMED)} "
        f"{'stand' if len(totals) > 1 else 'stands'} for no class in the "
        f"{'masks' if len(names) > 1 else 'mask'} of {listed(names, NAMED)}; "
        f"allowed are {allowed}",
        tuple(found),
    )


def _two_valued(dataset: Dataset, images: Iterable[LabelledImage]) -> Iterator[Fault]:
    found = [image for image in images if _mask_of(image).facts_found.is_two_valued]
    if not found:
        return
    names = [dataset.name_of(image) for image in found]
    several = len(names) > 1
    yield Fault(
        "0 and 255",
        f"the {'masks' if several else 'mask'} of {listed(names, NAMED)} "
        f"{'contain' if several else 'contains'} only 0 and 255, and 255 is ignored here, so "
        f"everything else is {dataset.classes[0]!r}; write the class index instead of "
        '255, or "ignore": 255 in classes.json if that is meant',
        tuple(found),
    )


def _palettes(dataset: Dataset, images: Sequence[LabelledImage]) -> Iterator[Fault]:
    """Reports a class index that has different colours, and maybe meanings, in different files."""
    colours: dict[int, Counter[int]] = defaultdict(Counter)
    for image in images:
        for index, colour in _mask_of(image).facts_found.palette:
            colours[index][colour] += 1
    usual = {index: counts.most_common(1)[0][0] for index, counts in colours.items()}
    for index in sorted(colours):
        if len(colours[index]) == 1:
            continue
        differing = [
            image
            for image in images
            if dict(_mask_of(image).facts_found.palette).get(index, usual[index]) != usual[index]
        ]
        others = sorted(each for each in colours[index] if each != usual[index])
        names = [dataset.name_of(image) for image in differing]
        yield Fault(
            "palettes differ",
            f"index {index} is {colour_text(usual[index])} in the palettes of most masks and "
            f"{listed([*map(colour_text, others)], 3)} in {counted(len(names), 'other')}, so the "
            f"same index may mean another class: {listed(names, NAMED)}",
            tuple(differing),
        )
        return  # one index is enough


def _class_faults(dataset: Dataset) -> Iterator[Fault]:
    to_train_on = dataset.keep(
        image for image in dataset.images if image.split in ("train", None)
    ).class_counts()
    for at, (name, count) in enumerate(zip(dataset.classes, dataset.class_counts(), strict=True)):
        if count < 2:
            kind, where = ("one image", "one photo only") if count else ("empty class", "no photo")
            yield Fault(
                kind, f"class {name!r} has pixels on {where}; it needs some on at least two photos"
            )
        elif dataset.has_splits and not to_train_on[at]:
            yield Fault(
                "empty class", f"nothing to train on: no mask in train has a pixel of {name!r}"
            )
