# Writes tests/references/ordinal_monotone.csv (posterior means and sds of brms) and the data set that they are of, which
# is simulated here and has no patient in it:
#   Rscript tools/ordinal_monotone.R tests/references
# 400 people, four categories, a stage of four levels whose effect on the log odds rises by 0.9, 0.2 and 0.4, and an arm.
# Priors are those that tests/test_ordinal_fits.py sets: Normal(0, 5) of what the whole stage and the arm do, a flat
# Dirichlet of the stage's increments, and flat category probabilities, which are no prior of brms: instead its thresholds
# have Normal(0, 10), beside which 400 people say almost everything.
suppressMessages(library(brms))
if (!nzchar(system.file("include", package = "BH"))) rstan::rstan_options(boost_lib = "/usr/include")  # Debian's
folder <- commandArgs(trailingOnly = TRUE)[1]
set.seed(16)
n <- 400
people <- data.frame(arm = rep(c("placebo", "drug"), n / 2), stage = sample(0:3, n, replace = TRUE))
level <- c(0, 0.9, 1.1, 1.5)[people$stage + 1] - 0.6 * (people$arm == "drug") + rlogis(n)
people$outcome <- findInterval(level, c(-1, 0.5, 2))
people$origin <- "simulated"
people$y <- factor(people$outcome, ordered = TRUE)
people$drug <- as.numeric(people$arm == "drug")
# brms reports the mean increment of a monotone effect, a third of what the whole stage does
priors <- c(prior(normal(0, 1.6666667), class = b, coef = mostage), prior(normal(0, 5), class = b, coef = drug),
            prior(normal(0, 10), class = Intercept), prior(dirichlet(1), class = simo, coef = mostage1))
fit <- brm(y ~ mo(stage) + drug, data = people, family = cumulative("logit"), prior = priors, chains = 4, iter = 3000,
           warmup = 1000, seed = 1, refresh = 0)
draws <- as.data.frame(fit)
draws$stage <- 3 * draws$bsp_mostage
kept <- draws[, c("stage", "b_drug", grep("^simo_", names(draws), value = TRUE))]
names(kept) <- c("stage", "drug", "increment1", "increment2", "increment3")
errors <- sapply(kept, function(x) posterior::mcse_mean(matrix(x, ncol = 4)))
write.csv(data.frame(term = names(kept), mean = signif(colMeans(kept), 6), sd = signif(sapply(kept, sd), 6),
                     mcse = signif(errors, 3), version = as.character(packageVersion("brms"))),
          file.path(folder, "ordinal_monotone.csv"), row.names = FALSE, quote = FALSE)
write.csv(people[, c("arm", "stage", "outcome", "origin")], file.path(folder, "ordinal_monotone_data.csv"),
          row.names = FALSE, quote = FALSE)
