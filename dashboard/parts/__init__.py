"""Small reusable pieces of pages.

Everywhere   header          which store, how fresh       notices         nothing there, or something wrong
             choices         kept in the URL              chips           statuses and runs
             behind          the call behind a number     drawing         charts, made once
Runs         runs_table      its columns                  run_picker      which are compared
             run_actions     clone, resume, its sweep     alert_lines     what it warns of
             curve_panel     curves of several            evaluation_choice  split and checkpoint
Examples     example_list    any row opens one            example_card    all that is known of it
Compare      verdict_panel   is one better                flips_panel     judged differently
             values_panel    of runs without classes      changes_panel   what became better or worse
Sweeps       sweep_actions   stop, resume, extend, retry  sweep_budget    hours that are used up
             sweep_trials    every trial                  trials_table    its columns
             sweep_parameters  which mattered             sweep_rungs     who was stopped where
             sweep_trade_off several objectives           sweep_recipe    what is searched
New run      data_choice     which data                   recipe_panel    the recipe, and the start
Queue        queue_panel     the list                     job_card        one job, live
             workers         who does the work
"""
