"""Draw time and memory over rows. usage: plot.py OUT.svg LABEL ROWS SECONDS MEGABYTES [ROWS SECONDS MEGABYTES]…"""
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

out, label, *values = sys.argv[1:]
rows, seconds, megabytes = (list(map(float, values[start::3])) for start in range(3))
figure, (time, memory) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for axes, heights, unit in ((time, seconds, "wall, s"), (memory, megabytes, "peak memory, MB")):
    axes.plot(rows, heights, marker="o")
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel=unit)
    axes.grid(alpha=0.3)
plt.rcParams["svg.hashsalt"] = "hitherto"
figure.savefig(out, metadata={"Date": None})
