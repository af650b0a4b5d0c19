"""Fixed texts to the customer: the tenant's own, else ours in the tenant's language, else ours in English.

A tenant's text that is set and empty means: send nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from metachat.escalation.v1.settings_pb2 import TenantSettings

_DISCLAIMER: Final = "disclaimer"
_NAMES: Final = (
    "handoff",
    "agent_joined",
    "returned_to_bot",
    "out_of_hours",
    "nobody_available",
    "unavailable",
    _DISCLAIMER,
    "email_request",
    "email_received",
    "bot_disclosure",
)
# Those that a tenant may write (fields of MessageSettings); "closed" has no default of ours.
MESSAGES: Final = (*(name for name in _NAMES if name != _DISCLAIMER), "closed")

DEFAULTS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        language: MappingProxyType(dict(zip(_NAMES, lines, strict=True)))
        for language, lines in {
            "en": (
                "I'm handing you over to a colleague, who will answer here as soon as possible.",
                "{name} has joined the conversation.",
                "I'm your automated assistant again. How can I help you further?",
                "Nobody is here at this hour. Your message is kept, and a colleague will answer it.",
                "All colleagues are busy. Your message is kept, and one of them will answer it.",
                "I'm sorry, I can't give you a reliable answer to that.",
                "Please note: this answer was written automatically and may contain mistakes.",
                "Write your e-mail address here if you would rather have the answer by e-mail.",
                "Thank you, we will answer by e-mail as well.",
                "You are talking to an automated assistant.",
            ),
            "de": (
                "Ich übergebe an einen Menschen aus unserem Team; die Antwort kommt so bald wie möglich.",
                "{name} ist jetzt im Gespräch.",
                "Hier ist wieder Ihr automatischer Assistent. Wie kann ich weiterhelfen?",
                "Um diese Zeit ist niemand da. Ihre Nachricht ist aufgehoben und wird beantwortet.",
                "Zurzeit sind alle im Gespräch. Ihre Nachricht ist aufgehoben und wird beantwortet.",
                "Darauf kann ich Ihnen leider keine verlässliche Antwort geben.",
                "Bitte beachten Sie: Diese Antwort wurde automatisch erstellt und kann Fehler enthalten.",
                "Schreiben Sie hier Ihre E-Mail-Adresse, wenn Sie die Antwort lieber per E-Mail möchten.",
                "Danke, wir antworten Ihnen auch per E-Mail.",
                "Sie sprechen mit einem automatischen Assistenten.",
            ),
            "es": (
                "Le paso con una persona de nuestro equipo, que le responderá aquí lo antes posible.",
                "{name} se ha unido a la conversación.",
                "Soy de nuevo su asistente automático. ¿En qué más puedo ayudarle?",
                "A esta hora no hay nadie. Su mensaje queda guardado y le responderemos.",
                "Todas las personas del equipo están ocupadas. Su mensaje queda guardado y le responderemos.",
                "Lo siento, no puedo darle una respuesta fiable a eso.",
                "Tenga en cuenta que esta respuesta es automática y puede contener errores.",
                "Escriba aquí su correo electrónico si prefiere recibir la respuesta por correo.",
                "Gracias, también le responderemos por correo electrónico.",
                "Está hablando con un asistente automático.",
            ),
            "fr": (
                "Je vous mets en relation avec un collègue, qui vous répondra ici dès que possible.",
                "{name} a rejoint la conversation.",
                "Je suis de nouveau votre assistant automatique. Comment puis-je vous aider ?",
                "Personne n'est présent à cette heure. Votre message est conservé et recevra une réponse.",
                "Tous nos collègues sont occupés. Votre message est conservé et recevra une réponse.",
                "Désolé, je ne peux pas vous donner de réponse fiable à ce sujet.",
                "Remarque : cette réponse a été rédigée automatiquement et peut contenir des erreurs.",
                "Indiquez ici votre adresse e-mail si vous préférez recevoir la réponse par e-mail.",
                "Merci, nous vous répondrons aussi par e-mail.",
                "Vous parlez à un assistant automatique.",
            ),
            "it": (
                "La metto in contatto con un collega, che le risponderà qui appena possibile.",
                "{name} si è unito alla conversazione.",
                "Sono di nuovo il suo assistente automatico. Come posso aiutarla ancora?",
                "A quest'ora non c'è nessuno. Il suo messaggio è conservato e riceverà una risposta.",
                "Tutti i colleghi sono occupati. Il suo messaggio è conservato e riceverà una risposta.",
                "Mi dispiace, non posso darle una risposta affidabile.",
                "Nota: questa risposta è stata scritta automaticamente e può contenere errori.",
                "Scriva qui il suo indirizzo e-mail se preferisce ricevere la risposta per e-mail.",
                "Grazie, le risponderemo anche per e-mail.",
                "Sta parlando con un assistente automatico.",
            ),
            "pt": (
                "Vou passar a conversa a um colega, que responderá aqui assim que possível.",
                "{name} entrou na conversa.",
                "Sou de novo o seu assistente automático. Em que mais posso ajudar?",
                "A esta hora não há ninguém. A sua mensagem fica guardada e será respondida.",
                "Todos os colegas estão ocupados. A sua mensagem fica guardada e será respondida.",
                "Lamento, não consigo dar uma resposta fiável a isso.",
                "Atenção: esta resposta foi escrita automaticamente e pode conter erros.",
                "Escreva aqui o seu e-mail se preferir receber a resposta por e-mail.",
                "Obrigado, responderemos também por e-mail.",
                "Está a falar com um assistente automático.",
            ),
            "hr": (
                "Predajem vas kolegi, koji će vam ovdje odgovoriti što prije.",
                "{name} se pridružuje razgovoru.",
                "Ovdje je opet vaš automatski pomoćnik. Kako vam još mogu pomoći?",
                "U ovo doba nema nikoga. Vaša je poruka spremljena i dobit ćete odgovor.",
                "Svi su kolege zauzeti. Vaša je poruka spremljena i dobit ćete odgovor.",
                "Nažalost, na to vam ne mogu dati pouzdan odgovor.",
                "Napomena: ovaj je odgovor napisan automatski i može sadržavati pogreške.",
                "Napišite ovdje svoju e-adresu ako odgovor radije želite e-poštom.",
                "Hvala, odgovorit ćemo vam i e-poštom.",
                "Razgovarate s automatskim pomoćnikom.",
            ),
        }.items()
    }
)


def text_of(settings: TenantSettings, name: str) -> str:
    """The text called `name` (a field of MessageSettings) for this tenant's customers."""
    if settings.messages.HasField(name):  # type: ignore[arg-type] # a field of it
        own: str = getattr(settings.messages, name)
        return own
    return _default(settings, name)


def disclaimer_of(settings: TenantSettings) -> str:
    """The disclaimer for this tenant's customers."""
    if settings.confidence_escalation.HasField("disclaimer_text"):
        return settings.confidence_escalation.disclaimer_text
    return _default(settings, _DISCLAIMER)


def _default(settings: TenantSettings, name: str) -> str:
    language = settings.locale.replace("_", "-").split("-")[0].lower()
    # A text without a default of ours is sent only where the tenant wrote one.
    return DEFAULTS.get(language, DEFAULTS["en"]).get(name, "")
