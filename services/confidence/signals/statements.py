"""Every sentence that a signal may say, by its name.

A name is what callers with words of their own go by, so it stays what it is while its wording may change. In
braces stand the values: `count`, `total` and `percent` are whole numbers, anything else is a word.
"""

from collections.abc import Mapping
from typing import Final

STATEMENTS: Final[Mapping[str, str]] = {
    # What is said where a signal's input is not there.
    "nothing_to_judge": "The reply holds nothing to judge.",
    "not_rated": "The model did not rate its own answer.",
    "no_probabilities": "No token probabilities were given.",
    "impossible_probabilities": "The token probabilities cannot be true (all zero or impossible): ignored.",
    "no_alternatives": "No alternative answers were given.",
    "no_passages": "No passages were given.",
    "no_courtesy": "The message asks for something, or the reply says more than a courtesy.",
    "rates_nothing": "The model rates an answer of which nothing is left.",
    # text
    "not_refused": "It does not refuse.",
    "partly_refused": "It refuses a part of what was asked.",
    "refused": "It refuses to answer.",
    "not_dodged": "It does not dodge the question.",
    "partly_missing": "It says that a part of the answer is missing.",
    "no_answer": "It says that it has no answer.",
    "in_words_of_passages": "It says so in the words of the passages.",
    "no_doubt": "It states no doubt.",
    "some_caution": "It is worded with some caution.",
    "unsure": "It says itself that it is unsure.",
    "no_reservations": "It makes no reservations.",
    "some_reservations": "It makes some reservations (not, but, however).",
    "many_reservations": "It is full of reservations (not, but, however).",
    "names_names": "It names names.",
    "hardly_any_name": "It names hardly any name.",
    "says_something": "It says something that the question did not.",
    "picked_from_question": "It picks its answer from the question.",
    "next_to_nothing": "It says next to nothing that the question did not.",
    "nothing_left": "Nothing is left to send once markers are taken out.",
    "changes_with_time": "The question asks for something that changes with time.",
    "not_about_present": "The question is not about the present.",
    "short_question": "The question is short.",
    "long_question": "The question is long and asks for much at once.",
    "courtesy": "A courtesy answers a courtesy: it claims nothing.",
    # stated
    "rates_itself": "The model rates its own answer {percent} %.",
    "as_good_as_certain": "The model is as good as certain.",
    "room_for_doubt": "The model leaves room for doubt.",
    "no_self_doubt": "The model does not doubt its answer.",
    "self_doubt": "The model doubts its own answer.",
    "tag_leaked": "The tag of the marker stands in the customer's text or a passage: it was ignored.",
    "marker_without_tag": "A confidence marker without the tag of this request was ignored.",
    "marker_forgeable": "The customer's text or a passage speaks of confidence: the marker was ignored.",
    # logprobs
    "whole_probability": "The model gave its answer as a whole a probability of {percent} %.",
    "whole_improbable": "The model gave its answer as a whole a probability of under 1 %.",
    "words_probability": "Its words had a probability of {percent} % on average.",
    "words_improbable": "Its words had a probability of under 1 % on average.",
    "weakest_probability": "The weakest word of the answer itself had a probability of {percent} %.",
    "weakest_improbable": "The weakest word of the answer itself had a probability of under 1 %.",
    # samples
    "overlap": "The alternative answers overlap with it by {percent} %.",
    "all_agree": "All {count} alternative answers agree.",
    "one_agrees": "The alternative answer agrees.",
    "some_disagree": "{count} of {total} alternative answers disagree.",
    "one_disagrees": "The alternative answer disagrees.",
    "no_options": "The answers are not a choice between options.",
    "same_option": "{count} of {total} alternative answers choose the same option.",
    # passages
    "nothing_to_compare": "It holds nothing that could be compared with the passages.",
    "words_covered": "{count} of its {total} new words stand in the passages.",
    "wording_follows": "{percent} % of its wording follows the passages.",
    "all_supported": "Every sentence is supported by the passages.",
    "some_unsupported": "{count} of {total} sentences are not supported by the passages.",
    "numbers_supported": "No number is without support.",
    "number_unsupported": "The number {number} stands in no passage.",
    "no_subject": "The question names no subject to look for.",
    "asked_covered": "The passages cover {percent} % of what was asked about.",
}
