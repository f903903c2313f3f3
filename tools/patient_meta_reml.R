# Restricted maximum likelihood for patients pooled over studies: the oracle of tests/test_patient_meta_fits.py.
#
#   bayesdep simulate price2022 --seed 1 --out patients.csv
#   Rscript tools/patient_meta_reml.R patients.csv > tests/references/patient_meta_reml.csv
#
# At each time alone: random level and effect of ketamine by study, correlated; one residual sd. The outcome is
# standardised, the baseline too; ketamine and moderators are less their means, as in the model.
suppressMessages(library(lme4))

table <- read.csv(commandArgs(trailingOnly = TRUE)[1])
standardised <- function(x, by) (x - mean(by)) / sqrt(mean((by - mean(by))^2))

cat("model,time,term,estimate,se\n")
for (time in c("rapid", "post-rapid")) {
  here <- table[table$time == time, ]
  here$y <- standardised(here$improvement, here$improvement)
  here$base <- standardised(here$madrs_baseline, here$madrs_baseline)
  here$treated <- as.numeric(here$arm == "ketamine")
  here$a <- here$treated - mean(here$treated)
  here$x <- here$trd - mean(here$trd)
  models <- list(
    core = y ~ a + base + (1 + treated | study),
    trd = y ~ a * x + base + (1 + treated | study)
  )
  for (name in names(models)) {
    fit <- lmer(models[[name]], here, REML = TRUE, control = lmerControl(optimizer = "bobyqa"))
    found <- coef(summary(fit))
    for (term in rownames(found)) {
      cat(sprintf("%s,%s,%s,%.6f,%.6f\n", name, time, term, found[term, 1], found[term, 2]))
    }
    spread <- as.data.frame(VarCorr(fit))
    for (i in seq_len(nrow(spread))) {
      if (is.na(spread$var2[i])) {
        label <- paste0("sd ", spread$grp[i], if (is.na(spread$var1[i])) "" else paste0(" ", spread$var1[i]))
        cat(sprintf("%s,%s,%s,%.6f,NA\n", name, time, label, spread$sdcor[i]))
      } else {
        cat(sprintf("%s,%s,correlation,%.6f,NA\n", name, time, spread$sdcor[i]))
      }
    }
  }
}
