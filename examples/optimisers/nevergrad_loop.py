"""Let Nevergrad propose params, and run each trial as a DVC experiment in a worker of `locatable`.

In the folder of a DVC project, after a commit:

    python nevergrad_loop.py
"""

import nevergrad as ng

from locatable import TrialRunner

METRIC = "metrics.json:valid.loss"
SPACE = ng.p.Dict(
    **{
        "train.x": ng.p.Scalar(lower=0.0, upper=1.0),
        "train.y": ng.p.Scalar(lower=0.0, upper=1.0),
    }
)
TRIALS = 12

if __name__ == "__main__":
    optimizer = ng.optimizers.NGOpt(SPACE, budget=TRIALS)
    with TrialRunner([METRIC]) as runner:
        for number in range(TRIALS):
            proposed = optimizer.ask()
            finished = runner.run(f"nevergrad-{number}", proposed.value)
            optimizer.tell(proposed, finished.values[0])
            print(f"nevergrad-{number}: {finished.values[0]}")
