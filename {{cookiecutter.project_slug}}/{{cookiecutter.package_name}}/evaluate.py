{% include 'tasks/' ~ cookiecutter.task ~ '/evaluate.py' -%}
