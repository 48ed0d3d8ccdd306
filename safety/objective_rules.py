"""Patterns of the screen of objectives: rules that refuse on their own, and the wider net that only raises a doubt.

Both read folded text (safety/objective.py): one line, single spaces, no accents. A rule wants a directive, a verb
that opens a clause or follows "to", "we" and the like: "make the virus spread" is an order, "which mutations make
the virus spread" is a question about nature. Windows instead of open word ends keep hostile text cheap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_DIRECT = r"(?:^|[.?!:;,(\"'*] ?|- |\b(?:to|we|us|me|i|please|you|let's) )"
# What makes the object of a directive ordinary research: a vaccine, a model, an antidote, a response.
_SAFE = (
    r"(?:against|antidot|detect|treat|vaccin|protect|prevent|model|predict|classif|sensor|respon|expos|patient|surviv"
    r"|inhibit|surveil|antibod|antivir|diagnos|monitor|therap|drug|neutrali|atlas|database|catalog|score|signature"
    r"|test|assay|tree|phylogen|outbreak|epidem|curve|load|immun)"
)
_WORDS = rf"(?:(?!{_SAFE})[\w'-]{{1,30}} ){{0,5}}"
_NEXT = rf"(?!\w{{0,12}}[ -](?:\w{{1,20}} )?{_SAFE})"
_AGENT = (
    r"(?:pathogen|virus|influenza|anthrax|bacteri|microbe|micro-?organism|fungus|parasite|toxin|ricin|botulinum|smallpox"
    r"|ebola|plague|\bgerm|nerve agent|bioweapon|(?:viral|bacterial|drug-resistant) strain|strain of)"
)
_PATHOGEN = r"(?:pathogen|virus|influenza|bacteri|microbe|micro-?organism|fungus|parasite|strain)"
_POISON = r"(?:toxin|poison|venom|ricin|botulinum|anthrax|nerve agent|warfare agent|biological agent|pathogen|virus)"
_WEAPON = (
    r"(?:nerve agent|(?:chemical |biological )?warfare agent|(?:biological|chemical|toxin|viral) weapon|bio-?weapon)"
)
_MAKE = (
    r"(?:mak|creat|engineer|design|build|develop|modify|modifi|mutat|render|turn|transform|convert|adapt|evolv|breed"
    r"|generat|obtain|construct|assembl|resurrect|propos|plan|mass-?produc|produc|synthesi[sz]|manufactur|prepar|grow"
    r"|cultivat|purif|extract|redesign|rewrit|alter|chang|recreat|reviv|want|need)\w{0,5}"
)
_RAISE = r"(?:restor|increas|enhanc|improv|gain|boost|rais|strengthen|maximi[sz]|amplif|heighten|widen|broaden|expand|extend)"
_HARM = (
    r"(?:transmissibilit|virulence|lethality|pathogenicity|infectivit|infectiousness|deadliness|contagiousness"
    r"|host range|resistance to|(?:lethal|deadly|infectious) (?:dose|effect|potency|power|reach|abilit))"
)
_WORSE = r"(?:transmissib|virulen|lethal|pathogenic|infectiv|infectious|deadly|contagious|harmful|dangerous)"
_SPREAD = (
    r"(?:spread|transmit|contagious|airborne|virulent|lethal|deadl|severe disease|infect (?:humans|people|mammals)"
    r"|(?:resist|evad|escap|overcom|defeat|withstand)\w{0,5} (?:\w{1,20} ){0,3}(?:drug|antibiotic|antivir|vaccin|immun"
    r"|treatment|therap)|no (?:\w{1,20} )?(?:drug|antibiotic|vaccine) (?:can|could|will|works))"
)
_PEOPLE = (
    r"(?:people|person|someone|somebody|crowd|population|civilian|enem|city|cities|crops|livestock|victim|rival|troops"
    r"|water supply|public place)"
)
_HURT = r"(?:poison|kill|harm|injur|murder|assassinat|attack|incapacitat|sicken|releas|spread)\w{0,4}"
# Hiding from the immune system, a drug or a host is biology; hiding from people is what is refused.
_BIOLOGY = r"(?:immun|t.cell|nk.cell|macrophage|interferon|host|tumou?r|cancer)"
_NOT_BIOLOGY = rf"(?:(?!{_BIOLOGY})[^.?!])"
_HIDE = (
    r"(?:evad|escap|avoid|bypass|circumvent|hid(?:e|ing)|conceal|disguis|camouflag|defeat|fool|trick|mislead|dodg|outwit"
    r"|obscur|(?:get|getting|slip|sneak|pass)\w{0,4} (?:past|around|through|by))\w{0,4}"
)
_GUARD = (
    r"(?:biosecurity|bio-?surveillance|export control|synthesis (?:screen|compan|provider)|doping|customs|watch ?list"
    r"|forensic|authorit|regulator|inspect|sequence screening|screening (?:software|tools?|of)|(?:environmental|border|airport) (?:monitoring|control|check|screening))"
)
_PERSON = r"(?:patient|participant|person|donor|individual|people|volunteer|subject|famil|relative)"
_UNMASK = (
    r"(?:find|reveal|recover|learn|discover|determin|uncover|work out|figure out|infer|establish|expos|disclos|trac|undo"
    r"|revers|reconstruct|match|link|combin|identif|guess|track down|look up|use|show|tell|restor|crack)\w{0,4}"
)
_WHO = (
    rf"(?:identit(?:y|ies)\b|\bnames? (?:of|behind) (?:\w{{1,20}} ){{0,3}}{_PERSON}|real names?|home address|public figure"
    rf"|celebrit|\bwho (?:she|he|they) (?:is|are)|who (?:the|these|those) (?:\w{{1,20}} )?{_PERSON}\w{{0,4}} (?:is|are|were)"
    rf"|(?:named|known|particular|specific) (?:person|individual)|(?:contact|locate|blackmail|stalk) (?:\w{{1,20}} )?{_PERSON}"
    r"|voter|social media|whether (?:my|a named|someone))"
)

RULES: Mapping[str, tuple[str, ...]] = {
    "enhancing a pathogen": (
        rf"gain[- ]of[- ]function (?:work|stud|research|experiment)[^.?!]{{0,70}}{_AGENT}",
        rf"gain[- ]of[- ]function[^.?!]{{0,70}}{_AGENT}[^.?!]{{0,60}}more {_WORSE}",
        rf"{_DIRECT}{_RAISE}\w{{0,5}} [^.?!]{{0,70}}{_HARM}{_NEXT}[^.?!]{{0,70}}{_AGENT}",
        rf"{_DIRECT}{_MAKE} [^.?!]{{0,60}}{_RAISE}\w{{0,5}} [^.?!]{{0,60}}{_HARM}[^.?!]{{0,70}}{_AGENT}",
        rf"{_DIRECT}{_MAKE} {_WORDS}{_AGENT}{_NEXT}[^.?!]{{0,80}}{_SPREAD}",
        rf"{_DIRECT}(?:predict|propos|suggest|find|design|choose|select|list)\w{{0,4}} [^.?!]{{0,50}}(?:would|could|will|can|to) make "
        rf"{_WORDS}{_PATHOGEN}[^.?!]{{0,30}}(?:deadlier|(?:more|highly|most) {_WORSE})",
        rf"{_DIRECT}{_MAKE} {_WORDS}{_AGENT}{_NEXT}[^.?!]{{0,60}}(?:more|increas\w{{1,9}}|enhanc\w{{1,9}}) {_WORSE}",
    ),
    "producing a toxin or weapon": (
        rf"{_DIRECT}{_MAKE} {_WORDS}{_WEAPON}{_NEXT}",
        rf"{_DIRECT}{_MAKE} {_WORDS}{_POISON}{_NEXT}[^.?!]{{0,80}}(?:{_HURT} (?:[\w'-]{{1,20}} ){{0,4}}{_PEOPLE}|weapon)",
        rf"(?:weaponi[sz]|aerosoli[sz](?:e|ing)\b)[^.?!]{{0,50}}{_AGENT}[^.?!]{{0,80}}(?:weapon|attack|against|{_PEOPLE})",
        rf"{_DIRECT}(?:contaminat|poison|spread|releas|dispers)\w{{0,4}} [^.?!]{{0,60}}{_PEOPLE}[^.?!]{{0,40}}{_POISON}",
        rf"{_POISON}[^.?!]{{0,60}}(?:would|could|can|will) (?:cause|claim|lead to|produce) the (?:most|greatest|highest) "
        r"(?:\w{1,20} ){0,3}(?:death|casualt|harm|damage|victim|panic)",
        r"(?:ways?|means|methods?|plans?|how) (?:of|to|for) (?:contaminat|poison)\w{0,4} (?:a |the |an )?(?:\w{1,20} )?"
        r"(?:water|food|air|milk|reservoir|ventilation|suppl)",
        rf"{_POISON}[^.?!]{{0,60}}(?:turn|us|convert|made|mak)\w{{0,4}} [^.?!]{{0,30}}(?:weapon|assassinat|murder|attack on)",
        r"(?:suited|suitable|ideal|best|usable|choose|select|plan)\w{0,3} (?:[\w'-]{1,20} ){0,4}"
        r"(?:bio-?terror|terror|assassinat|mass casualt|biological attack|chemical attack)(?!\w{0,12} prepared)",
        rf"{_DIRECT}(?:find|search|train|optimi[sz]|{_MAKE})\w{{0,4}} [^.?!]{{0,60}}(?:more|most|greatest|maxim\w{{1,5}}|highest)"
        r" (?:toxic|poisonous|lethal|deadly)\w{0,4} (?:to|for|in|than) (?:[\w'-]{1,20} ){0,3}(?:human|people|warfare|weapon)",
    ),
    "evading detection": (
        rf"{_HIDE} {_NOT_BIOLOGY}{{0,50}}{_GUARD}",
        rf"{_DIRECT}{_HIDE} {_NOT_BIOLOGY}{{0,50}}(?:screening|detection|surveillance){_NOT_BIOLOGY}{{0,60}}"
        r"(?:pathogen|toxin|sequence|synthesis|order)",
        r"(?:blind spot|weakness|weak point|loophole|gap)s? (?:of|in) [^.?!]{0,50}(?:screening|biosecurity|surveillance|export|control)"
        r"[^.?!]{0,40}(?:exploit|abus|us(?:e|ing) them|take advantage|get through)",
        rf"{_DIRECT}{_MAKE} {_WORDS}(?:{_AGENT}|sequence|gene|organism|protein|agent){_NOT_BIOLOGY}{{0,70}}"
        r"(?:invisible|undetect|unnotice|unrecogni|slips? past|(?:not|no longer|never|cannot) (?:be )?"
        r"(?:detect|recogni|match|notice|flag|trace))",
        rf"{_MAKE} [^.?!]{{0,70}}without (?:rais|arous|attract|leav|being)\w{{0,3}} (?:a |any )?(?:suspicion|attention|trace|caught|notic)",
        r"(?:order|buy|acquir|obtain)[^.?!]{0,70}without (?:rais|arous|attract|being)\w{0,3} (?:any )?(?:suspicion|attention|caught|notic)",
        r"(?:doping|anti-?doping|drug) tests? (?:cannot|can not|do not|will not|would not|fail to) (?:detect|find|reveal)",
    ),
    "identifying persons": (
        rf"{_DIRECT}(?:re-?identif|de-?anonymi[sz]|unmask)\w{{0,8}}(?! risk)[^.?!]{{0,70}}{_PERSON}",
        rf"{_DIRECT}{_UNMASK} [^.?!]{{0,110}}{_WHO}",
        rf"{_DIRECT}(?:reconstruct|rebuild|recover|render|draw)\w{{0,4}} (?:the )?(?:faces?|portraits?|looks) [^.?!]{{0,90}}"
        rf"(?:find|search|look|match|recogni|identif|name)\w{{0,5}} (?:\w{{1,20}} ){{0,2}}(?:online|on the|social|{_PERSON}|them)",
    ),
}
"""Category to the patterns that refuse on their own."""

_PATHOGENS = (
    r"pathogen|virus|viral|influenza|\bflu\b|bacteri|microb|micro-?organism|strain|fung|parasit|prion|plague|pox\b|anthrax"
    r"|\bgerms?\b|infectious agent|biological agent|\bdiseases? agent"
)
NET: Mapping[str, tuple[str, ...]] = {
    "enhancing a pathogen": (
        _PATHOGENS,
        r"gain[- ]of[- ]function|transmi|spread|virulen|lethal|deadl|contag|infect (?!patients)|infecti(?:ous|vit)|\bcauses? "
        r"(?:severe|disease)|resist|\bkill|host|\bharm|overcom|overwhelm|airborne|through the air|dangerous|fatal|eradicat"
        r"|immunity|adapt|evol",
    ),
    "producing a toxin or weapon": (
        rf"toxi|poison|venom|nerve agent|warfare|weapon|terror|\bagents?\b|assassin|\bgas\b|{_PATHOGENS}",
        r"weapon|attack|\bkill|\bharm|poison|deadl|\bdeath|lethal|terror|assassin|murder|crowd|warfare|nerve agent|releas"
        r"|aerosol|contaminat|dispers|ethnic|civilian|\benem|victim|sabotag|(?:mak|produc|synthes|manufactur|prepar|obtain"
        r"|purif|design|develop|creat|generat)\w{0,5} (?:[\w'-]{1,20} ){0,4}(?:toxin|poison|venom|nerve|compound|molecule)",
    ),
    "evading detection": (
        r"screen|detect|surveil|monitor|diagnos|\btests?\b|recogni|forensic|biosecur|\bcontrols?\b|controlled|regulat|authorit"
        r"|watch|trace|suspicion|notice|inspect|origin|customs|investigat|police|\blaws?\b",
        r"evad|escap|avoid|bypass|\bhid|conceal|disguis|mask|invisib|undetect|overlook|circumvent|slip|(?:get|go|pass)\w{0,4} "
        r"(?:past|around|through|unnotic)|fool|trick|mislead|deceiv|unnotic|blind spot|without (?:rais|being|leav|anyone)"
        r"|exploit|cannot|no longer|loophole|smuggl|cover up|so that [^.?!]{0,60}\bnot\b",
    ),
    "identifying persons": (
        r"patient|participant|donor|person|people|individual|record|genome|cohort|\bdna\b|\bface|relative|neighbo|anonym"
        r"|pseudonym|volunteer|someone|stranger|employee|celebrit|famil",
        r"\bidentity|identities|re-?identif|de-?identif|anonym|pseudonym|\bnames?\b|\bnamed\b|who (?:is|are|was|were|she|he"
        r"|they|the)\b|reveal|\btrac(?:e|ing)\b|recover (?:the|their|identit)|\blink (?!between)|\bmatch|contact|single out"
        r"|\bpriva|famous|celebrit|public figure|whether my|reconstruct|consent|\bwork out|home address|locate|stranger",
    ),
}
"""Category to word lists; the net closes when every list of the category has a word in the text."""

AIMS: Mapping[str, str] = {
    "enhancing a pathogen": "make a pathogen more contagious, more deadly or harder to treat",
    "producing a toxin or weapon": "make, obtain or use a poison or a weapon that hurts people",
    "evading detection": "hide something dangerous from tests, screening or the authorities",
    "identifying persons": "find out who the persons behind anonymous data are",
}
"""Category to what the model is asked about."""


@dataclass(frozen=True, slots=True)
class Category:
    """One category, compiled."""

    name: str
    rules: tuple[re.Pattern[str], ...]
    net: tuple[re.Pattern[str], ...]
    aim: str


def _compiled(name: str) -> Category:
    rules = tuple(re.compile(pattern, re.IGNORECASE) for pattern in RULES[name])
    net = tuple(re.compile(pattern, re.IGNORECASE) for pattern in NET[name])
    return Category(name, rules, net, AIMS[name])


CATEGORIES = tuple(_compiled(name) for name in RULES)
