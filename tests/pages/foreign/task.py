"""As classification, without anything to calibrate."""

from dataclasses import replace

from pplcnet.tasks.classification.task import TASK as CLASSIFICATION

TASK = replace(CLASSIFICATION, noun="kind", calibrate=None)
