# A bivariate mixed model of albumin and bilirubin (log2) by nlme, for tests/test_trajectories.py; run with Rscript here.
library(nlme)
options(digits = 17)
data(pbc, package = "survival")
visits <- with(pbcseq, data.frame(id = id, year = round(day / 365.25, 4), bili = bili, albumin = albumin))
visits <- visits[visits$year <= 5, ]
write.csv(visits, "pbcseq.csv", row.names = FALSE)
long <- rbind(
  data.frame(id = visits$id, year = visits$year, what = "albumin", y = visits$albumin),
  data.frame(id = visits$id, year = visits$year, what = "bilirubin", y = log2(visits$bili))
)
long$what <- factor(long$what, levels = c("albumin", "bilirubin"))
how <- lmeControl(maxIter = 500, msMaxIter = 1000, msMaxEval = 5000, tolerance = 1e-10, msTol = 1e-12, niterEM = 100)  # no spelling check
fit <- lme(y ~ 0 + what + what:year, random = list(id = pdSymm(~ 0 + what + what:year)), data = long,
           weights = varIdent(form = ~ 1 | what), method = "ML", control = how)
fixed <- fixef(fit)
between <- as.matrix(getVarCov(fit))
stopifnot(identical(rownames(between), names(fixed)))
rows <- data.frame(name = names(fixed), value = unname(fixed), se = unname(sqrt(diag(vcov(fit)))))
for (j in 1:4) for (k in 1:j) {
  name <- paste("covariance", names(fixed)[j], names(fixed)[k])
  rows <- rbind(rows, data.frame(name = name, value = between[j, k], se = NA))
}
ratio <- coef(fit$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)
rows <- rbind(rows, data.frame(name = paste("residual_sd", names(ratio)), value = unname(ratio) * fit$sigma, se = NA))
rows <- rbind(rows, data.frame(name = "log_likelihood", value = as.numeric(logLik(fit)), se = NA))  # no spelling check
write.csv(rows, "trajectories_pbcseq.csv", row.names = FALSE)
