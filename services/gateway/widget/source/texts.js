// What the widget itself says; what the assistant and people say comes from the server in the tenant's language.

const TEXT_NAMES = [
  "open", "close", "title", "greeting", "input", "send", "log", "you", "bot", "agent", "typing", "types", "asked", "person", "offline",
  "unsent", "again", "queued", "limited", "left", "cut", "unread", "window",
];

const TEXTS = {
  en: [
    "Open chat", "Close chat", "Chat", "Hello! How can we help?", "Your message", "Send", "Conversation", "You", "Assistant", "Team",
    "An answer is being written", "{n} is typing", "A person has been asked and will answer here.", "You are now talking to a person.",
    "No connection. What you write is kept and sent later.", "Not sent.", "Try again", "Waiting for a connection",
    "Too many messages at once. Sending again in {n} s.", "{n} characters left", "Shortened to {n} characters.", "{n} new",
    "opens a new window",
  ],
  de: [
    "Chat öffnen", "Chat schließen", "Chat", "Hallo! Wie können wir helfen?", "Ihre Nachricht", "Senden", "Gespräch", "Sie",
    "Assistent", "Team", "Eine Antwort wird geschrieben", "{n} schreibt", "Ein Mensch ist verständigt und antwortet hier.",
    "Sie sprechen jetzt mit einem Menschen.", "Keine Verbindung. Was Sie schreiben, bleibt erhalten und wird später gesendet.",
    "Nicht gesendet.", "Erneut versuchen", "Wartet auf Verbindung",
    "Zu viele Nachrichten auf einmal. Neuer Versuch in {n} s.", "Noch {n} Zeichen", "Auf {n} Zeichen gekürzt.", "{n} neu",
    "öffnet ein neues Fenster",
  ],
  es: [
    "Abrir chat", "Cerrar chat", "Chat", "¡Hola! ¿En qué podemos ayudarle?", "Su mensaje", "Enviar", "Conversación", "Usted",
    "Asistente", "Equipo", "Se está escribiendo una respuesta", "{n} está escribiendo",
    "Hemos avisado a una persona, que le responderá aquí.",
    "Ahora habla con una persona.", "Sin conexión. Lo que escriba se guarda y se envía más tarde.", "No enviado.",
    "Reintentar", "Esperando conexión", "Demasiados mensajes seguidos. Nuevo intento en {n} s.", "Quedan {n} caracteres",
    "Acortado a {n} caracteres.", "{n} nuevos", "abre una ventana nueva",
  ],
  fr: [
    "Ouvrir le chat", "Fermer le chat", "Chat", "Bonjour ! Comment pouvons-nous vous aider ?", "Votre message", "Envoyer",
    "Conversation", "Vous", "Assistant", "Équipe", "Une réponse est en cours de rédaction", "{n} écrit",
    "Une personne a été prévenue et répondra ici.", "Vous parlez maintenant à une personne.",
    "Pas de connexion. Ce que vous écrivez est conservé et envoyé plus tard.", "Non envoyé.", "Réessayer",
    "En attente de connexion", "Trop de messages à la fois. Nouvel essai dans {n} s.", "Encore {n} caractères",
    "Raccourci à {n} caractères.", "{n} nouveaux", "ouvre une nouvelle fenêtre",
  ],
  it: [
    "Apri la chat", "Chiudi la chat", "Chat", "Salve! Come possiamo aiutarla?", "Il suo messaggio", "Invia", "Conversazione", "Lei",
    "Assistente", "Team", "Si sta scrivendo una risposta", "{n} sta scrivendo", "Una persona è stata avvisata e risponderà qui.",
    "Ora sta parlando con una persona.", "Nessuna connessione. Ciò che scrive viene conservato e inviato più tardi.",
    "Non inviato.", "Riprova", "In attesa di connessione", "Troppi messaggi insieme. Nuovo tentativo tra {n} s.",
    "Ancora {n} caratteri", "Accorciato a {n} caratteri.", "{n} nuovi", "apre una nuova finestra",
  ],
  pt: [
    "Abrir chat", "Fechar chat", "Chat", "Olá! Como podemos ajudar?", "A sua mensagem", "Enviar", "Conversa", "Você", "Assistente",
    "Equipa", "A escrever uma resposta", "{n} está a escrever",
    "Uma pessoa foi avisada e responderá aqui.", "Está agora a falar com uma pessoa.",
    "Sem ligação. O que escrever fica guardado e é enviado mais tarde.", "Não enviada.", "Tentar de novo",
    "À espera de ligação", "Demasiadas mensagens de uma vez. Nova tentativa em {n} s.", "Faltam {n} caracteres",
    "Encurtada para {n} caracteres.", "{n} novas", "abre uma nova janela",
  ],
  hr: [
    "Otvori razgovor", "Zatvori razgovor", "Razgovor", "Dobar dan! Kako vam možemo pomoći?", "Vaša poruka", "Pošalji", "Razgovor",
    "Vi", "Pomoćnik", "Tim", "Odgovor se piše", "{n} piše", "Obavijestili smo osobu koja će vam ovdje odgovoriti.",
    "Sada razgovarate s osobom.", "Nema veze. Ono što napišete čuva se i šalje kasnije.", "Nije poslano.", "Pokušaj ponovno",
    "Čeka se veza", "Previše poruka odjednom. Novi pokušaj za {n} s.", "Preostalo znakova: {n}", "Skraćeno na {n} znakova.",
    "{n} novih", "otvara novi prozor",
  ],
};

/** The texts in the first of the wanted languages ("de-AT") that there is, else in English. */
const textsIn = (...wanted) => {
  const language = wanted.map((tag) => (tag || "").toLowerCase().split(/[-_]/)[0]).find((tag) => Object.hasOwn(TEXTS, tag)) || "en";
  const texts = { language };
  TEXT_NAMES.forEach((name, index) => { texts[name] = TEXTS[language][index]; });
  return texts;
};

const filled = (text, n) => text.replace("{n}", () => n);
