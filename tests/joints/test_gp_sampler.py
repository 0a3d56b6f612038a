# /// script
# dependencies = ["torch==2.15.0"]
# [tool.joint]
# question = "Optimisation"
# tool = "Optuna's GPSampler (PyTorch)"
# joint = "src/locatable/search/study.py"
# ///
"""A study made again from Git: the sampler that needs PyTorch; the others are compared in tests/unit."""

from pathlib import Path

import tiny_git
from test_search_rebuilt import check_proposals, sampler


def test_the_next_proposals_are_the_same_with_and_without_the_database(tmp_path: Path) -> None:
    tiny_git.commit(tmp_path, {".dvc/config": ""})
    check_proposals(tmp_path, sampler("GPSampler", n_startup_trials=3))
