# SPDX-License-Identifier: MIT
# setup.sh runs first (with bash, in the run's folder): the place to fetch or make what the program needs.
# Here: a table that main.py reads, and a module that it imports.
set -eu

mkdir -p data
{
	echo "fruit,weight"
	echo "apple,150"
	echo "cherry,8"
	echo "melon,1200"
} >data/weights.csv

cat >units.py <<'PYTHON'
def grams(value):
    return f"{value} g" if value < 1000 else f"{value / 1000:g} kg"
PYTHON
echo "setup: made data/weights.csv and units.py"
