"""Objects and calls that nobody should make, and what must come of them: the right numbers, or one sentence and nothing changed.

python -m tests.hostile --n 1000 --trained 150 --seed 0
"""
