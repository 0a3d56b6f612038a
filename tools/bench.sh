#!/bin/sh
# `make bench`: run all benchmarks, with a project that is generated in build/bench/.
set -eu

unset PYTHONDONTWRITEBYTECODE
git config user.email >/dev/null || export GIT_AUTHOR_NAME=Bench GIT_AUTHOR_EMAIL=bench@example.org \
    GIT_COMMITTER_NAME=Bench GIT_COMMITTER_EMAIL=bench@example.org
echo "== start"
python -m bench.start
project="$PWD/build/bench/tumour-classifier"
rm -rf build/bench
cookiecutter --no-input --default-config --output-dir build/bench . >/dev/null
make --no-print-directory -C "$project" setup EXTRAS="prefect ray"
(
    PATH="$project/.venv/bin:$PATH"
    cd "$project"
    dvc repro --quiet
    git add --all
    git commit --quiet --message "First results"
    cd - >/dev/null
    echo "== mirror, locate, coordinates"
    python -m bench.mirror "$project"
    echo "== large locks: 1,000 versions in at most 30 s and 300 MB"
    python -m bench.locks
    echo "== figures of a paper"
    python -m bench.figures
    echo "== an index of many repositories: a look-up in at most a second"
    python -m bench.index
    echo "== search"
    python -m bench.search "$project"
    echo "== search on a Ray cluster"
    python -m bench.ray "$project"
    echo "== stages side by side, by a Prefect flow"
    python -m bench.flow
    echo "== scale"
    python -m bench.scale "$project"
    echo "== large tables"
    python -m bench.tables "$project"
)
echo "== reproduce"
python bench/reproduce.py
