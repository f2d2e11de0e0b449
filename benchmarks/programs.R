# Fits one problem with one program and prints the times, the log-likelihood and the peak memory as JSON.
arguments <- commandArgs(trailingOnly = TRUE)
program <- arguments[1]
data <- read.csv(arguments[2])
text <- arguments[3]
family <- arguments[4]
points <- as.integer(arguments[5])
trials <- arguments[6]
for (name in strsplit(arguments[7], ",")[[1]]) data[[name]] <- factor(data[[name]])
seconds <- as.numeric(arguments[8])
cluster <- if (length(arguments) > 8) arguments[9] else ""

regression <- !(program %in% c("lavaan", "mirt"))
if (regression) {
  formula <- as.formula(text)
  data$.trials <- if (nzchar(trials)) data[[trials]] else 1
}
single <- lengths(regmatches(text, gregexpr("|", text, fixed = TRUE))) == 1
suppressPackageStartupMessages(library(program, character.only = TRUE))

fast <- function() {
  if (family == "gaussian") return(lmer(formula, data, REML = FALSE, control = lmerControl(calc.derivs = FALSE)))
  control <- glmerControl(optimizer = "nloptwrap", calc.derivs = FALSE)
  glmer(formula, data, family = family, weights = .trials, nAGQ = if (single) points else 1, control = control)
}
adaptive <- function() {
  if (!single || family == "gaussian") stop("one grouping factor, no Gaussian response")
  bar <- regmatches(text, regexpr("\\([^()]*\\|[^()]*\\)$", text))
  fixed <- as.formula(sub("\\+ \\([^()]*\\|[^()]*\\)$", "", text))
  mixed_model(fixed, random = as.formula(paste("~", gsub("[()]", "", bar))), data = data, family = family,
              weights = NULL, nAGQ = points)
}
factors <- function() {
  cfa(text, data, meanstructure = TRUE, cluster = if (nzchar(cluster)) cluster else NULL)
}
items <- function() {
  kind <- if (family == "ordinal") "graded" else "2PL"
  if (startsWith(text, "bfactor ")) {
    specific <- as.integer(strsplit(text, " ")[[1]][-1])
    return(bfactor(data, specific, itemtype = kind, SE = TRUE, verbose = FALSE))
  }
  model <- if (text == "1") 1 else mirt.model(text)
  mirt(data, model, itemtype = kind, SE = TRUE, verbose = FALSE)
}
fit <- switch(program,
  lavaan = factors,
  mirt = items,
  galamm = function() galamm(formula, data, family = get(family)),
  lme4 = fast,
  glmmTMB = function() glmmTMB(formula, data, family = family, weights = .trials),
  GLMMadaptive = adaptive)

times <- numeric()
while (sum(times) < seconds && length(times) < 25) {
  times <- c(times, system.time({
    found <- fit()
    invisible(capture.output(summary(found)))
  })[["elapsed"]])
}
# lme4's value with more than one point leaves out constants: it compares with nothing
comparable <- !(program == "lme4" && points > 1 && single && family != "gaussian")
loglik <- function() if (program == "mirt") extract.mirt(found, "logLik") else as.numeric(logLik(found))
value <- if (comparable) format(loglik(), digits = 15) else "null"
cat(sprintf('{"times": [%s], "loglik": %s, "peak": %f}\n', paste(times, collapse = ", "), value,
            sum(gc()[, 6]) * 2^20))
