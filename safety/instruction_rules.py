"""Patterns of passages that speak to a reader's assistant instead of telling of research.

They read folded text (safety/untrusted_text.py): lower case, no accents, runs of white space as they are. A strong rule
flags its sentence alone. A weak sign counts only beside another one in the same sentence, or in a sentence next to
a flagged one. A directive is a verb that opens a clause or follows "please", "must", "you" and the like: "ignore the
above" is an order, "these models ignore the above effects" is a finding. Windows instead of open ends keep hostile
text cheap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_OPEN = r"(?:^|[.!?:;\n\"'“”‘’«»(\[{>*#|=,–—-])[\s*_#>\"'“«(\[{-]{0,6}"
_LEAD = r"(?:please|kindly|now|then|so|just|always|only|simply|instead|therefore|must|should|shall|you|assistants?|agents?|never|and|or|immediately)"
_D = rf"(?:{_OPEN}(?:{_LEAD},?\s+){{0,3}}|\b(?:please|kindly|must|should|shall|you|always|immediately|and)\s+(?:{_LEAD}\s+)?)"
_D0 = rf"(?:{_OPEN}(?:{_LEAD},?\s+){{0,3}}|\b(?:please|kindly|(?:you|assistants?|agents?|models?|readers?)\s+(?:must|should|shall|will|to))\s+(?:{_LEAD}\s+)?)"
_W = r"(?:[\w'-]{1,25}[\s,]+)"
_PAPER = (
    r"(?:paper|article|abstract|study|manuscript|work|text|record|document|entry|data ?set|card|submission|series"
    r"|parts?|rows?|title|publication|candidate|option|one)"
)
_THIS = rf"(?:(?:this|the|that|any|every|each|all|present|current|of|its)\s+){{1,3}}{_W}{{0,2}}{_PAPER}"
_GRADE = (
    r"(?:[\"'“]?\b[1-5]\b(?!\s*[%.]\d|\s*(?:mg|ml|mm|cm|years?|months?|days?|patients?))|\bfive\b|\bmaxim(?:um|al)\b"
    r"|\bhighest\b|\blowest\b|\btop\b|\bfull\b|\bperfect\b|\bbest\b|\byes\b|\bno\b(?!\s+\w)|\bhigh\b|\blow\b)"
)
_WORD = r"[\"'“]?\b(?:[1-5](?!\s*[\w%.]*\w)|yes|no(?!\s+\w)|five|high|low|keep)\b"
_JUDGE = r"(?:give|assign|award|rate|score|grade|mark|rank|label|treat|accept|keep|approve|recommend|drop|reject|put|set|judge)"
_SAY = r"(?:answer|reply|respond|say|return|output|print|write|state|choose|select|pick)"
_TAKE = (
    r"(?:use|download|fetch|load|cite|choose|select|pick|analy[sz]e|import|retrieve|prefer|query|name|return|replace"
    r"|switch|substitute|insert|report|state|swap|take|open|add|put|list|write)"
)
ACCESSION = r"\b(?:gse|gds|gsm|gpl|prjn[ab]|prjeb|srp|srr|srx|erp|err|phs|egas|egad|e-[a-z]{4}-|syn)\d+\b"
"""Accessions of the archives, in lower case."""
SHELL = (
    r"\brm\s+-[a-z]{0,3}[rf]\b|\b(?:curl|wget)\s+(?:-\S{1,20}\s+){0,4}\S{0,60}://|\|\s*(?:ba)?sh\b|\bos\.(?:system|popen)\b"
    r"|\bsubprocess\.\w|__import__|\b(?:eval|exec)\(|/bin/(?:ba|z)?sh\b|\bpowershell\b|\bsudo\s+\w|\bdrop\s+table\b|\bchmod\s+[0-7+]"
)
"""Pieces of shell and script that prose does not hold."""
_MACHINE = (
    r"(?:ai|a\.i\.|llms?|gpts?|chatbots?|large\s+language\s+models?|language\s+models?|(?:ai|virtual|research|reading)[\s-]+"
    r"(?:assistants?|agents?|models?|screeners?|reviewers?|readers?|systems?|tools?)|automated\s+(?:screeners?|reviewers?|readers?"
    r"|systems?|assistants?|agents?)|copilots?)"
)
_EVALUATOR = r"(?:screeners?|reviewers?|referees?|graders?|raters?|judges?|editors?|evaluators?|assistants?|agents?|bots?|models?|crawlers?)"
_OBLIGED = r"(?:must|should|shall|have\s+to|has\s+to|need(?:s)?\s+to|(?:are|is)\s+(?:asked|required|requested|instructed|told|expected|obliged|ordered)(?:\s+to)?)"
_EARLIER = (
    r"(?:above|previous|prior|preceding|earlier|foregoing|everything|anything|instructions?|prompts?|guidelines?|directions?"
    r"|directives?|orders?|told|said|guardrails?|safeguards?|safety\s+\w+|system\s+\w+)"
)

STRONG: Mapping[str, tuple[str, ...]] = {
    "sets instructions aside": (
        rf"{_D}(?:ignore|disregard|forget|neglect|override|overrule|bypass|discard|overlook)\s+{_W}{{0,5}}?{_EARLIER}\b",
        rf"{_D0}(?:ignore|disregard|forget|override|overrule|bypass|discard|overlook|skip)\s+(?:the|this|that|all|any|your|what|whatever|both|every)\b",
        rf"{_D}(?:follow|obey|comply\s+with|adhere\s+to)\s+{_W}{{0,3}}(?:instructions?|orders?|directives?|commands?)\b(?!\s+(?:of|from|by|for)\b)",
        r"\bfrom\s+now\s+on\b|\bnew\s+(?:task|instructions?|rules?|role|orders?|system\s+prompt)\s*[:=]",
        r"\b(?:whatever|regardless\s+of\s+what|no\s+matter\s+what)\s+(?:the\s+|any\s+|your\s+)?(?:objective|question|scale|instructions?|prompts?|user|task|rules?)\b",
        r"\b(?:system\s+prompts?|prompt\s+injections?|jailbreak|developer\s+mode|(?:previous|prior|above|earlier)\s+instructions)\b",
        r"\b(?:hidden|secret|updated|real|true|special|important)\s+(?:instructions?|prompts?|orders?)\s*[:=]",
    ),
    "speaks to an assistant": (
        rf"\b(?:dear|attention|hello|hey|hi|notes?\s+(?:to|for)|messages?\s+(?:to|for)|instructions?\s+(?:to|for)|memo\s+(?:to|for))"
        rf"[\s,:]+{_W}{{0,2}}(?:{_MACHINE}|{_EVALUATOR})\b",
        rf"(?:^|[.!?\n>\]])\s*(?:to\s+)?(?:the\s+|any\s+|all\s+)?(?:{_W})?(?:{_MACHINE}|assistants?)\s*[,:]",
        rf"\bif\s+you\s+are\s+{_W}{{0,3}}(?:{_MACHINE}|{_EVALUATOR}|machine)\b",
        rf"\b(?:{_MACHINE}|{_EVALUATOR})\s+{_OBLIGED}\s+{_W}{{0,2}}(?:{_JUDGE}|{_SAY}|{_TAKE}|ignore|disregard|run|execute|stop|skip)\b",
        rf"\byou\s+(?:{_OBLIGED}|are\s+now|will\s+now|are\s+an?\s+{_W}{{0,2}}(?:{_MACHINE}|{_EVALUATOR}))\b",
        r"\byour\s+(?:next\s+|final\s+|whole\s+|entire\s+)?(?:answers?|responses?|repl(?:y|ies)|outputs?|scores?|ratings?|verdicts?|decisions?|tasks?|instructions?"
        r"|prompts?|outlines?|summar(?:y|ies)|quer(?:y|ies)|guidelines?|system|operators?|developers?|user)\b",
        rf"{_D}pretend\s+(?:to\s+be|you|that)\b|{_D0}act\s+as\s+(?:if\s+you|an?\s+{_W}{{0,3}}(?:{_MACHINE}|{_EVALUATOR}))\b",
    ),
    "demands a verdict": (
        rf"{_D}{_JUDGE}\s+(?:{_THIS}|it)\b[^.!?\n]{{0,40}}?{_GRADE}",
        rf"{_D0}{_JUDGE}\s+{_W}{{0,6}}?(?:[1-5]\s*(?:/|out\s+of|of)\s*5|(?:maxim(?:um|al)|highest|lowest|full|top|perfect|best)\s+(?:score|rating|mark|grade|points?|helpfulness|relevance))",
        rf"{_D}{_SAY}\s+(?:with\s+)?(?:only\s+|just\s+|simply\s+|exactly\s+)?(?:the\s+)?(?:word\s+|digit\s+|number\s+|score\s+|value\s+|rating\s+)?{_WORD}",
        rf"\bthis\s+{_W}{{0,2}}{_PAPER}\b[^.!?\n]{{0,40}}\b(?:must|should|shall|needs?\s+to|has\s+to|ought\s+to|deserves?|is\s+to)\b[^.!?\n]{{0,30}}"
        r"\b(?:rated|scored|graded|kept|dropped|selected|chosen|accepted|approved|ranked|marked|rating|score)\b",
        r"\b(?:correct|expected|right|final|only|true|required|appropriate|desired|next)\s+(?:\w{1,15}\s+){0,2}(?:answers?|scores?|ratings?|verdicts?|outputs?|responses?|repl(?:y|ies)|labels?)\b"
        rf"[^.!?\n]{{0,35}}?(?:\b(?:is|be|are|must\s+be)\s+|[=:]\s*){_GRADE}",
        r"\b(?:answer|verdict|reply|rating)\s+(?:is|must\s+be|should\s+be|=|:)\s+[\"'“]?(?:yes|no|[1-5]|five|high|low)\b",
        rf"\b(?:helpfulness|referability|(?:relevance|usefulness|overall)\s+(?:score|rating))\b[^.!?\n]{{0,60}}?{_GRADE}",
        rf"{_D}(?:give|set|mark|declare|report)\s+(?:the\s+)?(?:helpfulness|referability|relevance|score|rating)\b",
        rf"{_OPEN}always\s+(?:{_JUDGE}|{_SAY}|prefer|use|cite)\s",
        r"\b(?:must|should)\s+(?:not\s+|always\s+|never\s+)?be\s+(?:selected|kept|dropped|chosen|scored|rated|accepted)\b[^.!?\n]{0,30}\b(?:objective|question|further|search|[1-5])\b",
        rf"{_D}(?:stop\s+reading|do\s+not\s+(?:read|consider|score)|don't\s+(?:read|consider|score))\b|\bwithout\s+(?:any\s+)?(?:further|more)\s+(?:reading|explanation|justification|checks?)\b",
        r"\band\s+nothing\s+else\b|\b(?:answer|reply|respond)\s+(?:with\s+|in\s+)?(?:yes\s+or\s+no|one\s+(?:word|digit|letter)|a\s+single\s+(?:word|digit))",
        rf"{_D0}{_SAY}\s+(?:only|exactly|verbatim|nothing|the\s+following|in\s+json|as\s+json)\b",
    ),
    "demands a data set": (
        rf"{_D}{_TAKE}\s+[^.!?\n]{{0,80}}?(?:{ACCESSION}|\baccessions?\b)",
        rf"{_D0}{_TAKE}\s+(?:this|only\s+this|the\s+(?:following|present))\s+{_W}{{0,2}}(?:data\s*sets?|card|series)\b",
        rf"{ACCESSION}[^.!?\n]{{0,40}}\b(?:must|should|shall|has\s+to)\s+(?:always\s+)?be\s+(?:used|chosen|selected|downloaded|cited|preferred|analy[sz]ed)",
    ),
    "gives a command": (
        rf"{_D}(?:run|execute|exec|invoke|launch|type|paste|issue|evaluate|perform)\s+{_W}{{0,5}}(?:commands?|code|scripts?|shell|terminal|tool\s+calls?|curl|wget|bash|sudo)\b",
        SHELL,
    ),
    "plays a role": (
        r"(?:^|[.!?\n>\]\"'|])[\s#*\[(<{-]{0,6}(?:system|assistant|user|developer|ai)\s*(?:prompt|message|note|instruction|override|role)?[\s\])>}*]{0,4}:\s",
        r"[\"']role[\"']\s*:\s*[\"']|#{2,}\s*(?:instructions?|response|system|task|input|prompt)\b",
        r"<\s*/?\s*(?:system|instructions?|assistant|user|prompt|tool_?calls?|tools?|functions?|think(?:ing)?|answer|material)\b[^<>\n]{0,80}>",
        r"\[\s*/?\s*(?:system|assistant|user|instructions?)\s*\]",
        rf"{_OPEN}(?:end|start|beginning)\s+of\s+(?:the\s+)?(?:abstract|document|paper|text|material|article|prompt|context|input|passage|data|title|card)\b\s{{0,3}}(?:$|[.:\-=\]*#>,\n])",
    ),
    "chat template": (r"<\|[^<>\n]{0,60}\|?>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>",),
}
"""Rule to the patterns that flag a sentence on their own."""

WEAK: tuple[str, ...] = (
    r"\b(?:score|rate|grade|answer|mark|say)\s+(?:it\s+|this\s+|them\s+)?[\"'“]?(?:[1-5]|yes|no|five)\b",
    rf"\b(?:{_MACHINE}|assistants?)\b",
    ACCESSION,
    r"\b(?:instructions?|prompts?|rubrics?)\b",
    r"\b(?:this|the)\s+(?:paper|article|abstract|data\s*set|card|row)\b[^.!?\n]{0,40}\b(?:highest|maximum|perfect|best|5)\b",
)
"""Signs that count in pairs, or beside a flagged sentence."""

RULES = {name: tuple(re.compile(p) for p in patterns) for name, patterns in STRONG.items()}
SIGNS = tuple(re.compile(p) for p in WEAK)
