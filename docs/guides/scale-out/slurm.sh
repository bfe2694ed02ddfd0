#!/bin/bash
# Sixteen tasks, each with its share of a job, on a file system that all nodes see:
#   sbatch docs/guides/scale-out/slurm.sh
# The first to run lists the photos, the others wait for the list. A task that is lost is put back
# into the queue and goes on.
#SBATCH --job-name=classify-photos
#SBATCH --array=0-15
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail

pplcnet classify bundles/flowers.zip photos/2026 \
    --out results/2026 \
    --shards "$SLURM_ARRAY_TASK_ID/16" \
    --workers "$SLURM_CPUS_PER_TASK"
