"""Reference values of distributions from SciPy: python make.py > values.csv"""

import math

import scipy
from scipy import stats

print(f"# scipy {scipy.__version__}: function,a,b,c,value")
for p in [1e-9, 1e-4, 0.001, 0.01, 0.025, 0.1, 0.3, 0.5, 0.7, 0.9, 0.975, 0.999]:
    print(f"probit,{p!r},0,0,{float(stats.norm.ppf(p))!r}")
for i in range(-24, 25):
    print(f"normal_cdf,{i / 4},0,0,{float(stats.norm.cdf(i / 4))!r}")
for count in [1, 2, 3, 5, 7, 10, 22, 40, 100, 141, 500, 1000, 10000]:
    for p in [0.025, 0.975]:
        print(f"gamma_quantile,{count},{p},0,{float(stats.gamma.ppf(p, count))!r}")
for n in [1, 2, 5, 10, 62, 200, 1000]:
    for p in [0.1, 0.25, 0.5, 0.8]:
        for k in sorted({0, n // 4, math.floor(n * p), n - 1}):
            print(f"binomial_cdf,{k},{n},{p},{float(stats.binom.cdf(k, n, p))!r}")
for n in [10, 50, 400, 10000]:
    for k in [0, 1, n // 3, n - 1, n]:
        interval = stats.binomtest(k, n).proportion_ci(method="wilson")
        print(f"wilson_low,{k},{n},0,{float(interval.low)!r}")
        print(f"wilson_high,{k},{n},0,{float(interval.high)!r}")
