#!/bin/sh
# `make demo`: generate a project in build/, rebuild it, try variants, and compare and locate its results.
set -eu

unset PYTHONDONTWRITEBYTECODE
# PROJECT_TASK answers the template's question `task`.
case "${PROJECT_TASK:-classification}" in
classification) name=tumour-classifier loss=log_loss figure=roc.png ;;
regression) name=penguin-mass loss=rmse figure=predicted.png ;;
*) echo "PROJECT_TASK is classification or regression, not $PROJECT_TASK" >&2; exit 2 ;;
esac
project="$PWD/build/$name"
# Git needs an author for commits. If the machine has no identity, use one for the demo only.
git config user.email >/dev/null || export GIT_AUTHOR_NAME=Demo GIT_AUTHOR_EMAIL=demo@example.org \
    GIT_COMMITTER_NAME=Demo GIT_COMMITTER_EMAIL=demo@example.org

step() {
    printf '\n\033[1m== %s\033[0m\n' "$1"
}

step "1. Generate a project: cookiecutter"
rm -rf "$project" "$PWD/build/$name-dvc"
mkdir -p build
cookiecutter --no-input --default-config --output-dir build . "task=${PROJECT_TASK:-classification}"
cd "$project"

step "2. Build its environment from its locks: make setup"
make --no-print-directory setup
PATH="$PWD/.venv/bin:$PATH"

step "3. Build every result from the raw data: dvc repro"
dvc repro
git add --all
git commit --quiet --message "First results"

step "4. Again: nothing is out of date but the check of the environment"
dvc repro

step "5. Try two variants, each an experiment that Git keeps, and ask for one while it runs: dvc exp run -S"
dvc exp run --temp --name forest -S train.model=forest &
# The command succeeds as soon as DVC has recorded that the experiment is running.
while kill -0 $! 2>/dev/null && ! locatable locate forest 2>/dev/null; do sleep 0.2; done
wait $!
dvc exp run --temp --name boosting -S train.model=boosting
dvc exp show --no-pager --only-changed --drop "(?!Experiment|.*($loss|train.model)).*" --sort-by "valid.$loss"

step "6. Search for better params, every trial an experiment: make search"
locatable search --trials 4 --workers 2 --mirror

step "7. Which run made the figure in this paper, a PDF with a copy of one? locatable locate"
git show "$(git for-each-ref --format='%(objectname)' 'refs/exps/*/*/boosting'):reports/evaluate/figures/$figure" \
    >../figure-3.png
python - ../figure-3.png ../paper.pdf <<'END'
import sys

import matplotlib.pyplot as plt
from PIL import Image

page, axes = plt.subplots(figsize=(8.3, 11.7))
axes.imshow(Image.open(sys.argv[1]), interpolation="none")
axes.set_axis_off()
page.text(0.1, 0.9, "Figure 3. What we found.")
page.savefig(sys.argv[2])
END
locatable locate ../paper.pdf
locatable locate boosting

step "8. And why does it differ from the first result? locatable diff"
locatable diff HEAD boosting

step "9. Prove it: train again, hermetically, from a clean clone: locatable reproduce"
locatable reproduce boosting --env current

step "Done. Look around:"
cat <<END
  build/$name/reports/evaluate/figures/           figures for a paper
  build/$name/reports/search/baseline-search/     what the search found
  build/$name/mlflow.db                           all runs, for MLflow

  cd build/$name && source .venv/bin/activate
  make ui                          the runs in a browser
  dvc exp apply boosting           bring a variant's params and results here
  make reproduce                   the proof again, in a fresh environment
END
