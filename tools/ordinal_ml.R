# Writes tests/references/ordinal_ml.csv and the two data sets it is of, from R's own packages:
#   Rscript tools/ordinal_ml.R tests/references
# MASS::housing: satisfaction of 1,681 householders in Copenhagen (Madsen 1976, Scandinavian Journal of Statistics 3:97).
# ordinal::wine: bitterness of 72 bottles, nine judges (Randall 1989, Biometrical Journal 31:781).
# survival::pbcseq: oedema (none; only with diuretics or resolved by them; despite them) of 312 patients of the Mayo Clinic's
#   trial of D-penicillamine, at the visits nearest to the yearly ones (Murtaugh 1994, Hepatology 20:126).
suppressMessages({library(survival); library(MASS); library(ordinal); library(VGAM)})
folder <- commandArgs(trailingOnly = TRUE)[1]
wine <- ordinal::wine
rows <- list()
keep <- function(model, terms, estimates, errors) {
  rows[[length(rows) + 1]] <<- data.frame(model, term = terms, estimate = signif(estimates, 10), se = signif(errors, 6))
}
table_of <- function(model, fit) { s <- coef(summary(fit)); keep(model, rownames(s), s[, 1], s[, 2]) }
everything <- Sat ~ Infl + Type + Cont
for (how in c("logistic", "probit"))
  table_of(paste("polr", how), polr(everything, weights = Freq, data = housing, Hess = TRUE, method = how))
table_of("vglm continuation", vglm(everything, cratio(parallel = TRUE), weights = Freq, data = housing))
table_of("vglm adjacent", vglm(everything, acat(parallel = TRUE), weights = Freq, data = housing))
table_of("clm nominal", clm(Sat ~ Infl + Type, nominal = ~Cont, weights = Freq, data = housing))
table_of("clm wine", clm(rating ~ temp + contact, data = wine))
mixed <- clmm(rating ~ temp + contact + (1 | judge), data = wine, nAGQ = 31L, Hess = TRUE)
table_of("clmm wine", mixed)
keep("clmm wine", "sd", as.numeric(mixed$ST[[1]]), NA)
keep("clmm wine", "log likelihood", as.numeric(logLik(mixed)), NA)
visits <- pbcseq[, c("id", "trt", "day", "edema")]
visits$year <- round(visits$day / 365.25)
visits <- visits[visits$year <= 4 & !duplicated(visits[, c("id", "year")]), ]
visits$oedema <- factor(visits$edema, labels = c("none", "treated", "persistent"))
visits$arm <- ifelse(visits$trt == 1, "penicillamine", "placebo")
long <- clmm(oedema ~ factor(year) + arm + (1 | id), data = visits, nAGQ = 31L, Hess = TRUE)
table_of("clmm oedema", long)
keep("clmm oedema", "sd", as.numeric(long$ST[[1]]), NA)
keep("clmm oedema", "log likelihood", as.numeric(logLik(long)), NA)
write.csv(visits[, c("id", "arm", "year", "oedema")], file.path(folder, "oedema.csv"), row.names = FALSE, quote = FALSE)
keep("clm wine", "log likelihood", as.numeric(logLik(clm(rating ~ temp + contact, data = wine))), NA)
write.csv(do.call(rbind, rows), file.path(folder, "ordinal_ml.csv"), row.names = FALSE, quote = FALSE)
write.csv(housing, file.path(folder, "housing.csv"), row.names = FALSE, quote = FALSE)
write.csv(wine[, c("rating", "temp", "contact", "bottle", "judge")], file.path(folder, "wine.csv"), row.names = FALSE,
          quote = FALSE)
