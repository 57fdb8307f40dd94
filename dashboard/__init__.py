"""Streamlit views over a store: controls → query → chart → action. No torch, no SQL, no runner.

app           the entry                                views/   a module a page     tabs/   the sections of Run
parts/        pieces of pages                          charts/  frame → chart
triage/       the Triage page, in parts
address       its parameters, and clicks that write them
source        which store is shown                     ticks    dropping those of a page that was left
queries       what the pages read, cached              work_queries     the same of sweeps, jobs and new runs
writing       the one way to write                     commands         what is asked of the command line
sentences     what a run says of itself                sweep_sentences  what a sweep does
formats       how numbers and texts are written        rows             of small frames
outcomes      what no class says, as arrays            answers          prompts and answers side by side
pairing       two runs, example by example             differences      between their configurations
trials        of a sweep, as frames to draw            axes             its parameters as axes
recipe_form   from a form to a recipe and back         guesses          what a table of texts is good for
tasks         which columns each task reads            sizes            what a training of tokens begins with
data_files    the first rows of a file                 uploads          files that came through the browser
responses     what no class says, in words             spans            sentences with their spans marked
rankings      documents of queries in their order      word_differences  between two texts
named_texts   the texts of an example that is several
"""
