"""Phrases of replies that do not answer, as RE2 patterns over UTF-8: linear time on any text."""

from typing import Any

import re2

_OPTIONS = re2.Options()
_OPTIONS.case_sensitive = False
_OPTIONS.never_capture = True
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 64 << 20


def _pattern(*alternatives: str) -> Any:
    # The wrapper ships no types; what is used of it is search() on bytes.
    return re2.compile("(?:" + "|".join(alternatives) + ")", _OPTIONS)


def found(pattern: Any, encoded: bytes) -> bool:
    """Whether the pattern stands anywhere in the UTF-8 text."""
    return pattern.search(encoded) is not None


_A = "(?:'|’)?"
_NOT = rf"(?:do not|don{_A}t|did not|didn{_A}t|does not|doesn{_A}t)"
_CANNOT = (
    rf"(?:cannot|can not|can{_A}t|could not|couldn{_A}t|am unable to|{_A}m unable to|am not able to"
    rf"|{_A}m not able to|was unable to|was not able to|were unable to)"
)
_REFUSALS = (
    rf"\bI(?:{_A}m| am)? ?(?:sorry,? (?:but )?I )?{_CANNOT} (?:\w+ )?(?:help|assist|answer|comply|fulfil"
    rf"|discuss"
    r"|advise|recommend|give (?:you )?(?:medical|legal|financial)|do that|offer)",
    rf"\bI (?:will not|won{_A}t|must decline)\b",
    r"\b(?:not|n.t) (?:allowed|permitted|qualified) to (?:help|answer|discuss|give|advise|provide)",
    rf"\bas an? (?:AI|artificial intelligence)[\w ]{{0,30}},? I (?:{_CANNOT}|{_NOT}|am not)",
    r"\bagainst my (?:guidelines|policy|programming)",
    r"\b(?:ich kann (?:ihnen|dir) (?:dabei |damit )?(?:leider )?nicht helfen|no puedo ayudar"
    r"|je ne peux pas vous aider|non posso aiutar|não posso ajudar|ne mogu (?:vam )?pomoći)",
)
_DEFLECTIONS = (
    rf"\bI {_NOT} (?:currently |actually |really |yet )?(?:have|know|possess|see|find)\b[^.!?\n]{{0,60}}"
    r"\b(?:information|info|details?|data|answer|knowledge|access|documents?|record|anything|enough|specifics|ability"
    r"|capability)\b",
    r"\bI (?:currently )?have no (?:\w+ )?(?:information|info|details?|data|knowledge|answer|record|idea"
    r"|documents?)\b",
    rf"\bI (?:really |honestly |just )?{_NOT} know\b",
    rf"\bI{_A}?(?:m| am) not (?:sure|certain|aware|familiar|capable)\b",
    rf"\bI {_CANNOT} (?:\w+ )?(?:find|locate|access|provide|determine|verify|confirm|say|tell|predict"
    rf"|identify)\b",
    rf"\b(?:our (?:documents|documentation|knowledge base)|the knowledge base|my sources?)"
    rf" (?:{_NOT}|{_CANNOT}) (?:have|find|contain|cover|mention|include)\b",
    r"\b(?:document|documents|context|passage|passages|text|article|information|provided|documentation|sources?)\b"
    rf"[^.!?\n]{{0,40}}\b{_NOT} (?:explicitly |specifically |directly |actually )?(?:provide|mention|contain"
    r"|specify|state|include|say|give|indicate|cover|answer|address|have)\b",
    r"\b(?:not|n.t) (?:explicitly |specifically |directly )?(?:mentioned|specified|stated|provided|covered"
    r"|available|included|given|found) (?:in|by|from) (?:the|this|my|our|your) (?:\w+ ){0,2}(?:documents?"
    r"|text|context|passages?"
    r"|article|information|sources?|knowledge|documentation|question|data)\b",
    r"\b(?:no|insufficient|not enough|lack of|lacks?) (?:\w+ )?(?:information|mention|details?|evidence"
    r"|context)"
    r" (?:about|on|regarding|of|available|provided|is (?:given|provided|available))\b",
    r"\b(?:there is|there are|there.s) no (?:\w+ ){0,2}(?:information|mention|evidence|widely)\b",
    r"\b(?:beyond|outside) (?:my|the scope of my|our) (?:knowledge|expertise|scope|capabilit|training"
    r"|documents)",
    r"\b(?:could|can) you (?:please )?(?:provide|clarify|specify|give|share|rephrase|be more)\b[^.!?\n]{0,60}"
    r"\b(?:context|details?|information|clarif|specific|question|mean|rephrase)\b",
    r"\b(?:please|could you|can you) (?:provide|give|share) (?:me (?:with )?)?(?:more|additional|further)\b",
    r"\bI(?:'d|’d| would)? need (?:more|additional|further) (?:information|context|details)\b",
    r"\bunable to (?:find|locate|answer|provide|determine)\b",
    r"\b(?:it is|it.s) (?:unclear|not clear|unknown)\b",
    r"\bunanswerable\b|\bno answer\b",
    r"\b(?:keine (?:informationen|angaben|auskunft)|weiß ich (?:leider )?nicht|ich weiß (?:es )?nicht"
    r"|nichts (?:dazu |darüber )?gefunden)\b",
    r"\b(?:no tengo (?:información|datos)|no (?:lo )?sé(?:[ ,.;!]|$)|no conozco)",
    r"\b(?:no he encontrado|no encuentro)\b",
    r"\b(?:je n.ai (?:pas|aucune) d?.?information|je ne sais pas|je ne connais pas|rien trouvé)",
    r"\b(?:non ho (?:informazioni|dati)|non lo so|non conosco|non ho trovato)",
    r"\b(?:não tenho (?:informaç|dados)|não sei|não conheço|não encontrei)",
    r"\b(?:nemam (?:informacij|podat)|ne znam\b|nisam (?:[^\s]+ ){0,4}(?:pronaš|našao|našla))",
)
REFUSAL = _pattern(*_REFUSALS)
DEFLECTION = _pattern(*_DEFLECTIONS)
# One pass that lets nearly every reply through without the two above.
NO_ANSWER = _pattern(*_REFUSALS, *_DEFLECTIONS)
# Sentences that say nothing about the matter; they do not turn a deflection into an answer.
COURTESY = _pattern(
    r"\b(?:sorry|apologi[sz]e|unfortunately|regret"
    r"|désol|lo siento|dispiace|leider|nažalost|desculpe)",
    r"\b(?:contact|reach out to|ask|consult|speak (?:to|with)|talk (?:to|with)|check with"
    r"|connect you (?:to|with)"
    r"|refer to|visit|see) (?:our|the|a|an|your|with|my) [^.!?\n]{0,60}(?:support|team|agent|person|human"
    r"|doctor"
    r"|lawyer|professional|specialist|advisor|colleague|website|expert|provider|authority|service|staff|someone)",
    r"\b(?:would you like|shall I|should I|do you want)\b",
    r"\b(?:anything else|let me know|feel free|happy to help|help you with|glad to help|more details"
    r"|rephrase)\b",
    r"\b(?:thank you|thanks) for\b",
)
STRONG_DOUBT = _pattern(
    rf"\bI(?:{_A}m| am) (?:not (?:entirely |completely |totally |fully |quite |100% )?(?:sure|certain"
    rf"|confident)"
    r"|unsure|uncertain|guessing)\b",
    r"\bI (?:guess|would guess|suspect|assume)\b|\bmy (?:best )?guess\b",
    r"\b(?:it is|it.s) (?:hard|difficult) to say\b|\b(?:I cannot|I can.t) be (?:certain|sure)\b",
    r"\b(?:as far as I know|if I (?:recall|remember)|to the best of my knowledge|to my knowledge)\b",
)
