"""The Triage page, in parts: what is wrong with a data set, example after example, and what is made of it.

The page     heading         the sentence on top         wrong        what is wrong, on the left
             narrow          which part of the queue     asked        what the URL asks
             beginning       before there is a triage    author       who decides
Queue        review          one example after another   session      what a review knows
             example         the example and its keys    proposals    what one key accepts
             sentence        one with spans          target_forms other spans, labels, numbers
             targets         what is suggested for spans, sets and numbers, and what is typed
             why             what speaks for it          small_tables tables that are there at once
             forecast        what going on will find     budget       the same as numbers
             worklist        the examples of a review    deciding     writing a decision
Others       table           many at once                bulk         what is done to them
             data_map        the map                     layout       what is drawn of it
             classes         pairs and classes
Edits        edits           all decided, as a diff      differences  the same as text
             taking          files to take away          exports      how they are written
             tagged          those of sentences
             versions        from decisions to a run     retraining   its recipe and job
             proof           before and after
Everywhere   reads           what it reads, cached       summary      of the triage
             sentences       numbers in words            target_words spans, sets and numbers in words
"""
