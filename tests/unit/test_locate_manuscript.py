"""Numbers of a manuscript: which result they are of, and which ones another result has."""

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny_git
import yaml
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, StreamObject
from tiny_git import commit, git

from locatable import cli
from locatable.errors import NotFoundError
from locatable.locate import Located, locate
from locatable.repository.reader import Reader

REPOSITORY = Path(__file__).parents[2]
PIPELINE = """\
stages:
  evaluate:
    cmd: python evaluate.py
    params: [model, lr]
    metrics:
    - metrics.json: {cache: false}
"""
OLD = {"accuracy": 0.94312, "log_loss": 0.14337, "roc_auc": 0.98123, "f1_score": 0.9359}
NEW = {"accuracy": 0.95148, "log_loss": 0.13304, "roc_auc": 0.98561, "f1_score": 0.9467}
TRAIN = {"accuracy": 0.99653, "log_loss": 0.02113}


def files(
    test: dict[str, float], model: str = "forest", lr: float = 0.00125, **more: object
) -> dict[str, str]:
    metrics = json.dumps({"test": test, "train": TRAIN, "samples": 12345, "time": 0.0012149, **more})
    md5 = hashlib.md5(metrics.encode(), usedforsecurity=False).hexdigest()
    lock = (
        "schema: '2.0'\nstages:\n  evaluate:\n    cmd: python evaluate.py\n    params:\n      params.yaml:\n"
        f"        lr: {lr}\n        model: {model}\n    outs:\n    - path: metrics.json\n      md5: {md5}\n"
    )
    return {
        ".dvc/config": "",
        "dvc.yaml": PIPELINE,
        "dvc.lock": lock,
        "params.yaml": f"model: {model}\nlr: {lr}\n",
        "metrics.json": metrics,
    }


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project whose metrics changed, with an experiment of another model; and its first commit."""
    root = tmp_path_factory.mktemp("history") / "project"
    first = commit(root, files(OLD))
    commit(root, files(NEW))
    boosted = {"accuracy": 0.92174, "log_loss": 0.21839, "roc_auc": 0.97215, "f1_score": 0.9127}
    tiny_git.experiment(root, files(boosted, model="boosting"), "boosted")
    return root, first


@pytest.fixture
def project(history: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(history[0])
    return history[0]


@pytest.fixture(scope="module")
def reader(history: tuple[Path, str]) -> Iterator[Reader]:
    with Reader(history[0]) as reader:
        yield reader


Look = Callable[..., Located]


@pytest.fixture
def look(project: Path, reader: Reader, tmp_path: Path) -> Look:
    """Writes a document and locates it."""

    def write_and_locate(text: str, name: str = "paper.md", rev: str | None = "HEAD") -> Located:
        place = tmp_path / name
        place.write_text(text)
        return locate(reader, str(place), rev)

    return write_and_locate


def named(located: Located) -> dict[str, str]:
    """What each number that is a result's is of; `older` before those of another result."""
    found = {}
    for number in located.numbers.numbers:
        if number.key:
            found[number.text] = f"{'older ' if number.result else ''}{number.key.rpartition(':')[2]}"
    return found


# Each beside a number that HEAD has, so that there is a result.
@pytest.mark.parametrize(
    "sentence",
    [
        "The test accuracy is 0.943.",
        "The accuracy on the held-out test set of 114 samples is 0.943.",
        "Our model reaches a test accuracy of 0.943 on the data.",
        "It reaches an accuracy of about 94.3 %.",
        r"It reaches an accuracy of $94.3\,\%$.",
        "We obtain an accuracy of 0.943 ± 0.012 over folds.",
        "Its accuracy (0.943) is high.",
        "It has 0.943 accuracy.",
        "It has 94.3% test accuracy.",
        "Accuracy = 0.943",
        "Accuracy: 0.943",
        "The accuracy, measured on new data, was 0.9431.",
        "Accuracy and F1 are 0.943 and 0.947.",
        "F1, accuracy and AUC were 0.947, 0.943, and 0.986, respectively.",
        "The log loss is 0.133, the accuracy 0.943.",
        "We used a dropout of 0.5 for an accuracy of 0.943.",
        "In contrast to earlier work [3], our accuracy is 0.943.",
        "The TEST ACCURACY fell to 0.943.",
        "- accuracy: **0.943**",
        "Our approach achieves up to 94.3% accuracy.",
        "We report 0.943 (accuracy) and 0.133 (log loss).",
        "The accuracy remained at 0.943 (SD 0.012).",
        "The accuracies lie between 0.943 and 0.944.",
        "An accuracy of 0.943 (95% CI 0.921–0.962) was found.",
        "The accuracy and the AUC were 0.943 and 0.986.",
        "The accuracy (mean ± SD) was 0.943 ± 0.012.",
        "The accuracy was approx. 0.943 (ca. 0.986 for the AUC).",
        "It has 0.943 accuracy and the log loss is 0.133.",
        "Boosting aside, whereas for accuracy it is 0.943, little changed.",
    ],
)
def test_an_older_accuracy_is_named_where_the_words_say_that_it_is_one(look: Look, sentence: str) -> None:
    assert "older test.accuracy" in named(look(f"{sentence}\n\nThere were 12,345 samples.")).values()


@pytest.mark.parametrize(
    ("sentence", "key"),
    [
        ("The log-loss is 0.143.", "log_loss"),
        ("The logloss is 0.143.", "log_loss"),
        ("The loss is 0.143.", "log_loss"),
        ("The AUC is 0.981.", "roc_auc"),
        ("The area under the curve (ROC AUC) is 0.981.", "roc_auc"),
        ("The F1-score is 0.936.", "f1_score"),
        ("The F$_1$ score is 0.936.", "f1_score"),
        ("The $F_1$ is 0.936.", "f1_score"),
        ("The F1 score is 93.6\\%.", "f1_score"),
    ],
)
def test_a_metric_is_named_in_several_ways(look: Look, sentence: str, key: str) -> None:
    assert f"older test.{key}" in named(look(sentence + "\n\nThere were 12,345 samples.")).values()


# 0.943, 0.981 and 0.922 are metrics of other results.
@pytest.mark.parametrize(
    "sentence",
    [
        "The ratio of both areas is 0.943.",
        "We set the momentum to 0.943.",
        "We measured accuracy on the held-out set, and we set the momentum to 0.943.",
        "The accuracy is best when the dropout is 0.943.",
        "For an accuracy of 0.951 we used a dropout of 0.943.",
        "We used a dropout of 0.943 for an accuracy of 0.951.",
        "The accuracy of a model trained with momentum 0.943 is the best.",
        "Smith et al. [3] report an accuracy of 0.943.",
        "An accuracy of 0.943 was reported by Smith (2019).",
        "The accuracy of Jones and Smith 2019 is 0.943.",
        "Others [@smith2019] reach an accuracy of 0.943.",
        "The accuracy rose from 0.943 to 0.951.",
        "The training accuracy is 0.943.",
        "With boosting, the accuracy is 0.922.",
        "The log loss is 0.943.",
        "See Figure 0.943 for the accuracy.",
        "The accuracy is 0.943e9.",
        "We used version 0.943 of accuracy.",
        "doi:10.0943/0.943 accuracy",
        "The accuracy is x0.943.",
        "The accuracies differ (p = 0.943).",
        "We saw p = 0.943 for accuracy.",
        "We used a threshold of 0.943 for accuracy.",
        "The accuracy gap is 0.943.",
        "The gain in accuracy is 0.943.",
        "The gain in test accuracy is 0.943.",
        "The gap between F1 and accuracy is 0.943.",
        "The 0.943 accuracy gap is large.",
        "The p-value for the accuracy was 0.943.",
        "A dropout of about 0.943 for accuracy works best.",
        "For accuracy, the log loss is 0.943.",
        "With 0.951 in accuracy, the log loss is 0.943.",
        "The accuracy at 0.943 coverage is best.",
        "The accuracy is stable for thresholds of 0.943.",
        "The 0.943 quantile of the accuracy is shown.",
        "In our accuracy tests, the learning rate was 0.943.",
    ],
)
def test_a_number_that_is_equal_by_chance_is_not_named(look: Look, sentence: str) -> None:
    located = look(f"{sentence}\n\nThere were 12,345 samples.")
    assert not [key for key in named(located).values() if key.startswith("older")]


TABLES = {
    "paper.md": "| metric | test |\n|---|---|\n| accuracy | 0.943 |\n| log loss | 0.133 |\n",
    "columns.md": "| model | accuracy (%) | log loss |\n|---|--:|--:|\n| ours | 94.3 | 0.133 |\n",
    "paper.tex": r"""\begin{table}\caption{Results on the test set}\begin{tabular}{lrr}
\toprule Model & \multicolumn{1}{c}{Accuracy} & Log loss \\ \midrule
\textbf{Ours} & \textbf{94.3\,\%} & $0.133$ \\ % 0.951
\bottomrule\end{tabular}\end{table}
""",
    "numbers.csv": "accuracy,log loss\n0.943,0.133\n",
    "paper.csv": "model;accuracy;log loss\nours;0.943;0.133\n",
    "paper.html": "<table><tr><th>Model<th>Accuracy<th>Log loss<tr><td>ours<td>0.943<td>0.133</table>",
}


@pytest.mark.parametrize("name", TABLES)
def test_an_older_number_in_a_table_is_named_by_its_row_and_column(look: Look, name: str) -> None:
    found = look(TABLES[name], name).numbers.numbers
    assert [(number.key.rpartition(":")[2], number.result is None) for number in found if number.key] == [
        ("test.accuracy", False),
        ("test.log_loss", True),
    ]


@pytest.mark.parametrize(
    "rows",
    [
        "| Smith et al. | 0.943 |",
        "| boosting | 0.922 |",
        "| forest | 0.951 |\n| another | 0.943 |",  # the table compares
    ],
)
def test_another_row_of_a_table_is_not_older(look: Look, rows: str) -> None:
    located = look(f"There were 12,345 samples.\n\n| model | accuracy |\n|---|---|\n{rows}\n")
    assert located.numbers.of_others == []


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("0.951", "test.accuracy"),
        (r"95.1\,\%", "test.accuracy"),
        ("12,345", "samples"),
        ("12\u2009345", "samples"),
        ("12 345", "samples"),
        (r"12\,345", "samples"),
        ("1.21e-3", "time"),
        (r"$1.2\times10^{-3}$", "time"),
        ("1.21 × 10⁻³", "time"),
        (r"\num{1.21e-3}", "time"),
        (r"\SI{95.1}{\percent}", "test.accuracy"),
        (r"\qty{95.15}{\percent}", "test.accuracy"),
        ("0.951(12)", "test.accuracy"),
        ("0.00125", "lr"),
    ],
)
def test_a_number_of_the_result_is_found_however_it_is_written(look: Look, written: str, key: str) -> None:
    located = look(f"It was {written} here.", "paper.tex")
    assert [number.key.rpartition(":")[2] for number in located.numbers.recorded] == [key]


@pytest.mark.parametrize(
    "text",
    [
        "in 2019 and 1000 or 100 % or 12,000 or 0.95 of 12 things",
        "on 2026-11-30, 30.11.2026, at 12:34:56",
        "Section 3.14, Figs. 123 and 124, Eq. (3.14), pp. 123-145, Table 1.234, no. 123",
        "as shown before [123, 124]",
        "doi:10.1234/567.891 and https://a.org/12345 and arXiv:2103.00020",
        "call +49 30 1234567 or 555-123-4567",
        "version 1.234, v3.141, Python 3.11, 1.26.4",
        "ResNet-152, x123, 123abc, 0.951cm, A4.123",
        r"\ref{tab:123} \cite[p.~123]{a123} \includegraphics[width=0.951\textwidth]{f123} \vspace{0.951cm}",
        r"\begin{thebibliography}{99}\bibitem{a} Pages 12345, 0.951.\end{thebibliography}",
        r"\begin{verbatim} 0.951 \end{verbatim}",
        "% 0.951",
    ],
)
def test_what_is_no_number_of_a_manuscript(look: Look, text: str) -> None:
    located = look(f"{text}\n\nAccuracy 0.9515\n", "paper.tex")
    assert [number.text for number in located.numbers.numbers] == ["0.9515"]


def test_a_list_of_references_is_left_out(look: Look) -> None:
    located = look(
        "Accuracy 0.951\n\n## References\n\n1. Smith, accuracy 0.943.\n\n## Appendix\n\nLog loss 0.143\n"
    )
    assert named(located) == {"0.951": "test.accuracy", "0.143": "older test.log_loss"}


def test_sources_that_a_text_includes_are_read_and_lines_counted(look: Look, tmp_path: Path) -> None:
    (tmp_path / "results.tex").write_text("% a comment\n\nThe accuracy is\n0.943.\n")
    preamble = "\\documentclass{article}\n\\newcommand{\\acc}{0.133}\n"
    main = preamble + "\\begin{document}\n\\input{results}\nThe log loss is \\acc.\n\\end{document}\n"
    located = look(main, "main.tex")
    places = {number.text: number.place for number in located.numbers.numbers}
    assert places == {"0.943": "results line 4", "0.133": "line 5"}
    assert named(located) == {"0.133": "test.log_loss", "0.943": "older test.accuracy"}


def test_the_compared_result_is_the_one_that_explains_most(look: Look, history: tuple[Path, str]) -> None:
    located = look("The accuracy is 0.943, the log loss 0.143 and the AUC 0.986.", rev=None)
    assert located.numbers.result is not None
    assert located.numbers.result.rev == history[1]
    assert named(located)["0.986"] == "older test.roc_auc"  # of a newer result, in truth
    assert not located.numbers.of_others[0].is_older


def test_a_number_of_others_is_of_no_result_even_if_it_equals_one(look: Look) -> None:
    located = look("There were 12,345 samples. Smith et al. [3] report an accuracy of 0.951 and 98.6%.")
    assert named(located) == {"12,345": "samples"}


def test_what_words_name_counts_more_than_what_prints_so(tmp_path: Path) -> None:
    commit(tmp_path / "other", files({**NEW, "accuracy": NEW["log_loss"]}))
    commit(tmp_path / "other", files(NEW))
    (tmp_path / "paper.md").write_text("Its accuracy is 0.133.")
    with Reader(tmp_path / "other") as reader:
        located = locate(reader, str(tmp_path / "paper.md"), "HEAD")
    assert named(located) == {"0.133": "older test.accuracy"}


def test_numbers_in_the_captions_of_latex(look: Look) -> None:
    shown = r"\includegraphics[width=0.951\textwidth]{f}\caption{ROC, AUC \textbf{0.986}.}"
    text = rf"\begin{{figure}}{shown}\end{{figure}}"
    assert [number.text for number in look(text, "paper.tex").numbers.numbers] == ["0.986"]


def test_head_is_compared_where_several_results_explain_as_much(look: Look, project: Path) -> None:
    assert look("There were 12,345 samples.", rev=None).numbers.name == "HEAD"


def test_the_line_about_an_older_number(
    look: Look, history: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project, first = history
    look("We saw 12,345 samples.\n\nHere, the test accuracy of our model is 94.3 %. The AUC is 0.986.\n")
    assert cli.main(["locate", str(tmp_path / "paper.md"), "--rev", "HEAD"]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = git(project, "rev-parse", "HEAD")
    assert lines[2:] == [
        f"3 numbers, compared with HEAD ({head[:7]}): 1 older, 2 as recorded",
        "",
        "line 3  older",
        f"  94.3 % test.accuracy of {first[:7]}; 95.1 % in HEAD",
        "    Here, the test accuracy of our model is 94.3 %.",
        "",
        "line 1  12,345 samples  We saw 12,345 samples.",
        "line 3  0.986 test.roc_auc  The AUC is 0.986.",
        "",
        "coordinates, and how to rebuild:",
        f"  locatable locate {head[:7]}",
    ]


@pytest.mark.parametrize(("number", "code"), [("0.943", 1), ("0.951", 0)])
def test_check_fails_where_a_number_is_older(
    look: Look, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str, code: int
) -> None:
    look(f"The accuracy is {number}. There were 12,345 samples.")
    assert cli.main(["locate", str(tmp_path / "paper.md"), "--rev", "HEAD", "--check"]) == code


def test_a_document_without_a_number_of_a_result_says_so(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "paper.md").write_text("The ratio is 0.777.")
    assert cli.main(["locate", str(tmp_path / "paper.md")]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/paper.md: no figures in it, and none of its 1 numbers is a result's\n"
    )


# Ten pages with sixty numbers: fifty as HEAD has them, five of its first commit, three equal to another run's
# metric by chance, and two of nothing.
PAGE = r"""
\section{Part %(page)d}
The model was fitted on the %(page)d. fold~\cite{a%(page)d}, see Fig.~\ref{f} and Table 3.14.
It reaches a test accuracy of %(accuracy)s and a log loss of %(loss)s, with an AUC of %(auc)s.

\begin{table}\caption{Scores on the test set}
\begin{tabular}{lr} Metric & Score \\ \hline F1 & %(f1)s \\ Accuracy & %(percent)s \\ \end{tabular}\end{table}
%(last)s
"""
RIGHT = {"accuracy": "0.951", "loss": "0.133", "auc": "0.986", "f1": "0.947", "percent": r"95.1\,\%"}
STALE = {
    1: {"accuracy": "0.943"},
    3: {"loss": "0.143"},
    4: {"auc": "0.981"},
    6: {"f1": "0.936"},
    8: {"percent": r"94.3\,\%"},
}
LAST = [
    "It saw 12,345 samples.",
    "The ratio of both areas is 0.922.",
    "Their method has an accuracy of 0.922~\\cite{b}.",
    "We set the momentum to 0.972.",
    "The temperature was 293.15 here.",
]


def test_a_paper_of_ten_pages_with_five_numbers_of_an_older_commit(look: Look) -> None:
    pages = []
    for page in range(10):
        last = LAST[page] if page < len(LAST) else LAST[0]
        pages.append(PAGE % {**RIGHT, **STALE.get(page, {}), "page": page + 1, "last": last})
    source = (
        r"\documentclass[11pt]{article}\begin{document}" + "\n\\newpage\n".join(pages) + r"\end{document}"
    )
    numbers = look(source, "paper.tex", None).numbers
    assert (numbers.name, len(numbers.numbers)) == ("HEAD", 60)
    assert [(number.text, number.key.rpartition(".")[2]) for number in numbers.of_others] == [
        ("0.943", "accuracy"),
        ("0.143", "log_loss"),
        ("0.981", "roc_auc"),
        ("0.936", "f1_score"),
        ("94.3\u2009%", "accuracy"),
    ]
    assert len(numbers.recorded) == 51


def pdf(*pages: str) -> bytes:
    """A PDF whose pages have these lines."""
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(600, 800)
        font = DictionaryObject({NameObject(key): NameObject(value) for key, value in FONT.items()})
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F"): font})}
        )
        shown = "".join(f"({line}) Tj 0 -14 Td\n" for line in text.split("\n"))
        content = StreamObject()
        content.set_data(f"BT /F 12 Tf 40 700 Td\n{shown}ET".encode("latin-1"))
        page[NameObject("/Contents")] = writer._add_object(content)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


FONT = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica", "/Encoding": "/WinAnsiEncoding"}
PAGES = (
    "Model Accuracy Log loss AUC\nOurs 0.943 0.133 9.86 \xd7 10-1\nSmith et al. [3] 0.922 0.218 0.972",
    "On November 30, 2026\nit was seen that, on the test set of 114 samples, the\naccuracy is 0.951.\n"
    "References\n"
    "[1] Smith. An accuracy of 0.943. 2019. Figure 1: F1 of 0.936.\n[2] Jones. A log loss of 0.143.",
)
WORD = """\
<w:document xmlns:w="w"><w:body>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Model</w:t></w:r></w:p></w:tc>
<w:tc><w:p><w:r><w:t>Accuracy</w:t></w:r></w:p></w:tc>
</w:tr><w:tr><w:tc><w:p><w:r><w:t>Ours</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>0.9</w:t></w:r><w:r><w:t>43</w:t>
</w:r></w:p></w:tc></w:tr></w:tbl><w:p><w:r><w:t xml:space="preserve">The log loss is </w:t></w:r>
<w:r><w:t>0.133</w:t></w:r>
<w:r><w:t>.</w:t></w:r></w:p>
<w:p><w:r><w:t>References</w:t></w:r></w:p><w:p><w:r><w:t>Accuracy 0.951</w:t></w:r></w:p>
</w:body></w:document>"""
RELATION = (
    '<Relationships><Relationship Id="r" Type="t/officeDocument" Target="word/document.xml"/></Relationships>'
)


def test_numbers_of_a_pdf_with_a_table(look: Look, tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "paper.pdf").write_bytes(pdf(*PAGES))
    located = locate(reader, str(tmp_path / "paper.pdf"), "HEAD")
    assert named(located) == {
        "0.943": "older test.accuracy",
        "0.133": "test.log_loss",
        "9.86 × 10-1": "test.roc_auc",
        "0.951": "test.accuracy",
        "0.936": "older test.f1_score",
    }
    assert {number.place for number in located.numbers.numbers} == {"page 1", "page 2"}


def test_numbers_of_a_word_document_with_a_table(tmp_path: Path, reader: Reader) -> None:
    with zipfile.ZipFile(tmp_path / "paper.docx", "w") as archive:
        archive.writestr("_rels/.rels", RELATION)
        archive.writestr("word/document.xml", WORD)
    located = locate(reader, str(tmp_path / "paper.docx"), "HEAD")
    assert named(located) == {"0.943": "older test.accuracy", "0.133": "test.log_loss"}


def test_numbers_of_a_notebook_are_in_its_texts_and_in_what_its_cells_show(look: Look) -> None:
    shown = {
        "data": {"text/html": "<table><tr><th>x<th>AUC<tr><td>a<td>0.986</table>", "text/plain": "AUC 0.986"}
    }
    cells = [
        {"cell_type": "markdown", "source": ["The accuracy is ", "0.943."]},
        {
            "cell_type": "code",
            "source": "0.133",
            "outputs": [shown, {"name": "stdout", "text": "loss 0.133"}],
        },
    ]
    located = look(json.dumps({"cells": cells, "nbformat": 4}), "paper.ipynb")
    assert named(located) == {"0.943": "older test.accuracy", "0.986": "test.roc_auc"}
    assert [number.place for number in located.numbers.numbers] == ["cell 1", "cell 2"]


def test_numbers_of_sources_in_an_archive(tmp_path: Path, reader: Reader) -> None:
    with zipfile.ZipFile(tmp_path / "paper.zip", "w") as archive:
        archive.writestr("main.tex", r"\documentclass{article}\begin{document}\input{a}\end{document}")
        archive.writestr("a.tex", "The accuracy is 0.943.")
    located = locate(reader, str(tmp_path / "paper.zip"), "HEAD")
    assert [(number.place, number.text) for number in located.numbers.of_others] == [
        ("main.tex a line 1", "0.943")
    ]


def test_a_table_of_data_is_looked_for_by_its_content_alone(look: Look) -> None:
    with pytest.raises(NotFoundError, match="has a file with this content"):
        look("\n".join(["x,y", *["1,0.951"] * 2_001]), "data.csv")


def test_only_a_document_is_compared_with_a_result(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["locate", "boosted", "--rev", "HEAD"]) == 2
    assert "--rev: only a document can be compared with a result" in capsys.readouterr().err


def test_json_is_as_its_page_describes_it(
    look: Look, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look("The accuracy is 0.943. There were 12,345 samples, and 0.777 more.")
    cli.main(["locate", str(tmp_path / "paper.md"), "--rev", "HEAD", "--json"])
    printed = json.loads(capsys.readouterr().out)
    page = (REPOSITORY / "docs/how-to/any-repository.md").read_text()
    (row,) = re.findall(r"^\| `locate` of a document \| (.*) \|$", page, re.MULTILINE)
    assert set(printed) == set(re.findall(r"`(\w+)`", row))
    assert [(number["text"], number["match"]) for number in printed["numbers"]] == [
        ("0.943", "older"),
        ("12,345", "as recorded"),
        ("0.777", "of no result"),
    ]
    assert printed["numbers"][0]["current"] == NEW["accuracy"]


@pytest.fixture(scope="module")
def workflow() -> str:
    """The workflow of the page about papers."""
    page = (REPOSITORY / "docs/how-to/paper.md").read_text()
    (text,) = re.findall(r"<!-- file: \S+/paper.yml -->\n```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return text


def test_a_security_linter_finds_nothing_in_the_workflow_of_a_paper(workflow: str, tmp_path: Path) -> None:
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/workflows/paper.yml").write_text(workflow)
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [zizmor, "--offline", "--no-progress", tmp_path / ".github"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    ours = (REPOSITORY / "{{cookiecutter.project_slug}}/.github/workflows/ci.yml").read_text()
    for action in re.findall(r"uses: (\S+ # \S+)", workflow):
        assert action in ours


@pytest.mark.parametrize(("number", "code"), [("0.951", 0), ("0.943", 1), ("0.922", 1)])
def test_the_workflow_of_a_paper_fails_where_a_number_is_not_of_the_commit(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workflow: str, number: str, code: int
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(project), str(clone))
    monkeypatch.chdir(clone)
    (clone / "paper").mkdir()
    (clone / "paper/paper.tex").write_text(f"The accuracy is {number}, the AUC 0.986.")
    (job,) = yaml.safe_load(workflow)["jobs"].values()
    fetch, check = [step["run"] for step in job["steps"] if "run" in step][1:]
    subprocess.run(["bash", "-c", fetch], check=True)
    assert cli.main(check.split()[1:]) == code


@pytest.fixture
def illustrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose figure changed twice and whose numbers changed once, and papers beside it."""
    root = tmp_path / "illustrated"
    for number, test in enumerate([OLD, NEW, NEW]):
        picture = io.BytesIO()
        Image.new("RGB", (60, 60), (number * 40, 90, 10)).save(picture, "PNG")
        (tmp_path / f"{number}.png").write_bytes(picture.getvalue())
        commit(root, {**files(test), "plots/roc.png": picture.getvalue()})
    monkeypatch.chdir(root)
    return root


def test_numbers_are_compared_with_the_result_of_the_figures(illustrated: Path, tmp_path: Path) -> None:
    (tmp_path / "paper.md").write_text("![ROC](1.png)\n\nThe accuracy is 0.951, and the AUC 0.981.\n")
    with Reader(illustrated) as reader:
        located = locate(reader, str(tmp_path / "paper.md"))
    assert located.numbers.name == git(illustrated, "rev-parse", "HEAD~1")[:7]
    assert named(located) == {"0.951": "test.accuracy", "0.981": "older test.roc_auc"}


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ("![ROC](1.png)", True),
        ("![ROC](2.png)", False),
        ("![ROC](1.png) beside ![ROC](2.png)", False),  # which are compared
    ],
)
def test_check_fails_where_the_compared_result_has_another_figure(
    illustrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], figures: str, said: bool
) -> None:
    (tmp_path / "paper.md").write_text(figures)
    assert cli.main(["locate", str(tmp_path / "paper.md"), "--rev", "HEAD", "--check"]) == said
    assert ("HEAD has another figure at plots/roc.png" in capsys.readouterr().out) == said


def test_figures_are_found_where_the_numbers_are_too_many(illustrated: Path, tmp_path: Path) -> None:
    (tmp_path / "paper.md").write_text("![ROC](1.png)\n\n" + "0.951 " * 5_001)
    with Reader(illustrated) as reader:
        located = locate(reader, str(tmp_path / "paper.md"))
    assert [figure.is_traced for figure in located.figures] == [True]
    (line,) = located.left_out
    assert line.endswith("paper.md: more than 5,000 numbers are data, and not looked at")


def test_a_float_of_latex_on_one_line_is_one_figure(illustrated: Path, tmp_path: Path) -> None:
    shown = r"\begin{figure}\includegraphics[width=\columnwidth]{1.png}\caption{ROC}\end{figure}"
    (tmp_path / "paper.tex").write_text(shown)
    with Reader(illustrated) as reader:
        located = locate(reader, str(tmp_path / "paper.tex"))
    assert [figure.name for figure in located.figures] == ["1.png"]
