# What read.csv makes of a file that bd.export wrote, for tests/test_paper_tables.py; run with Rscript in this folder.
table <- read.csv("export_for_r.csv", check.names = FALSE, encoding = "UTF-8")
quoted <- function(x) paste0("[", paste0('"', gsub('"', '\\\\"', x), '"', collapse = ", "), "]")
text <- function(x) ifelse(is.na(x), "NA", as.character(x))
lines <- c(
  paste0(' "names": ', quoted(names(table))),
  paste0(' "classes": ', quoted(vapply(table, function(x) class(x)[1], ""))),
  paste0(' "analyte": ', quoted(table$analyte)),
  paste0(' "ratio": ', quoted(text(table$ratio))),
  paste0(' "synthetic": ', quoted(text(table$synthetic)))
)
writeLines(c("{", paste(lines, collapse = ",\n"), "}"), "export_for_r.json", useBytes = TRUE)
