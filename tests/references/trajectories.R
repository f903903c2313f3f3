# Answers of lme4 and nlme that tests/test_trajectories.py compares with; run with Rscript in this folder.
library(lme4)
library(nlme)
options(digits = 17)
rows <- list()
keep <- function(data, name, value, se = NA) {
  rows[[length(rows) + 1]] <<- data.frame(data = data, name = name, value = unname(value), se = unname(se))
}
of_lmer <- function(data, fit) {
  fixed <- fixef(fit)
  se <- sqrt(diag(as.matrix(vcov(fit))))
  for (k in names(fixed)) keep(data, k, fixed[k], se[k])
  v <- VarCorr(fit)[[1]]
  sds <- attr(v, "stddev")
  keep(data, "level_sd", sds[1])
  keep(data, "slope_sd", sds[2])
  keep(data, "correlation", attr(v, "correlation")[1, 2])
  keep(data, "residual_sd", sigma(fit))
  keep(data, "log_likelihood", as.numeric(logLik(fit)))  # no spelling check
}
# maximum likelihood: variance components are compared at the maximum of the density itself
how <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10), check.conv.grad = .makeCC("warning", 1e-2))
of_lmer("sleepstudy", lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE, control = how))
Orthodont$years <- Orthodont$age - 8
of_lmer("orthodont", lmer(distance ~ years * Sex + (years | Subject), as.data.frame(Orthodont), REML = FALSE,
                          control = how))
chicks <- as.data.frame(ChickWeight)
of_lmer("chickweight", lmer(weight ~ Time * Diet + (Time | Chick), chicks, REML = FALSE, control = how))
# residuals that correlate by the time between (spatial power) beside a random level and slope
rats <- as.data.frame(BodyWeight)
rats$day <- rats$Time - 1
ar <- lme(weight ~ day * Diet, random = ~ day | Rat, correlation = corCAR1(form = ~ day | Rat), data = rats,
          method = "ML", control = lmeControl(msMaxIter = 1000, msMaxEval = 5000, tolerance = 1e-12, msTol = 1e-14, niterEM = 500))  # no spelling check
fixed <- fixef(ar)
for (k in names(fixed)) keep("bodyweight", k, fixed[k], sqrt(vcov(ar)[k, k]))
between <- as.matrix(getVarCov(ar))
keep("bodyweight", "level_sd", sqrt(between[1, 1]))
keep("bodyweight", "slope_sd", sqrt(between[2, 2]))
keep("bodyweight", "correlation", between[1, 2] / sqrt(between[1, 1] * between[2, 2]))
keep("bodyweight", "residual_sd", ar$sigma)
keep("bodyweight", "rho", coef(ar$modelStruct$corStruct, unconstrained = FALSE))
keep("bodyweight", "log_likelihood", as.numeric(logLik(ar)))  # no spelling check
write.csv(do.call(rbind, rows), "trajectories.csv", row.names = FALSE)
write.csv(sleepstudy, "sleepstudy.csv", row.names = FALSE)
write.csv(as.data.frame(Orthodont)[, c("distance", "age", "years", "Subject", "Sex")], "orthodont.csv", row.names = FALSE)
write.csv(chicks, "chickweight.csv", row.names = FALSE)
write.csv(rats[, c("weight", "day", "Rat", "Diet")], "bodyweight.csv", row.names = FALSE)
writeLines(c(R.version.string, paste("lme4", packageVersion("lme4")), paste("nlme", packageVersion("nlme"))), "trajectories_versions.txt")
