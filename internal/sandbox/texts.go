package sandbox

import "strings"

// userMessage is what the Graph API words for the person at the keyboard. A
// client must never decide by it: it comes in the person's language.
type userMessage struct{ title, msg string }

// languages that the sandbox speaks; the first is the default.
func languages() []string { return []string{"en", "pt", "es", "da", "it"} }

// languageOf picks the language of a locale (pt_BR) or of an Accept-Language
// header (da-DK, en;q=0.5). Quality values are ignored: the first known wins.
func languageOf(header string) string {
	for part := range strings.SplitSeq(header, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		for _, lang := range languages() {
			if len(tag) >= 2 && strings.EqualFold(tag[:2], lang) && (len(tag) == 2 || tag[2] == '-' || tag[2] == '_') {
				return lang
			}
		}
	}
	return "en"
}

// userText returns the localised words for a subcode of the Conversions API.
func userText(lang string, subcode int) (userMessage, bool) {
	en, ok := english(subcode)
	if !ok || lang == "en" {
		return en, ok
	}
	if t, ok := translated(lang, subcode); ok {
		return t, true
	}
	return anyMessage(lang), true
}

// english has every subcode that a request can provoke.
func english(subcode int) (userMessage, bool) {
	switch subcode {
	case subTooOld:
		return userMessage{"Event Timestamp Too Old", "The timestamp for this event is too far in the past. Events need to be sent within 7 days of when they happened, or 62 days for events in a physical shop."}, true
	case subFuture:
		return userMessage{"Invalid Event Timestamp", "The timestamp for this event is in the future. Send the time at which it happened, in Unix seconds, GMT."}, true
	case subContentID:
		return userMessage{"Missing Content ID", "Each item of the contents parameter needs an id."}, true
	case subValue:
		return userMessage{"Missing Value for Purchase Event", "Add a value that is a number of at least 0 to custom_data, together with a currency."}, true
	case subCurrency:
		return userMessage{"Invalid Currency For Purchase Event", "Add a supported ISO 4217 code of three letters to custom_data, such as USD."}, true
	case subValueAlone:
		return userMessage{"Missing Currency", "An event that has a value also needs a currency."}, true
	case subDataProcessing:
		return userMessage{"Data Processing Option Required", "Send data_processing_options together with data_processing_options_country and data_processing_options_state."}, true
	case subLeadID:
		return userMessage{"Invalid Lead ID", "The lead_id is the number of 15 to 17 digits that a lead ad made."}, true
	case subExtinfo:
		return userMessage{"Invalid Extended Device Information", "App events need app_data.extinfo: 16 values, of which the first is a2 or i2."}, true
	case subCustomerInfo:
		return userMessage{"Customer Information Parameters Too Broad", "This event has no customer information parameters, or a combination too broad to match a person. Add ph, em or external_id."}, true
	case subChannel:
		return userMessage{"Messaging Event Missing Channel", "Events with action_source business_messaging need a messaging_channel: whatsapp, messenger or instagram."}, true
	case subArgument:
		return userMessage{"Messaging Event Invalid Argument", "Remove client_ip_address, client_user_agent, fbc and fbp from events with action_source business_messaging."}, true
	case subEventType:
		return userMessage{"Messaging Event Invalid Event Type", "This event name is not supported for business messaging. Use a supported one, such as \"Purchase\" or \"LeadSubmitted\"."}, true
	case subNoClick:
		return userMessage{"Messaging Event Missing Click ID", "Messaging events need a ctwa_clid, or a page_scoped_user_id on Messenger."}, true
	case subOtherPage:
		return userMessage{"Messaging Event Page Mismatch", "The page_id is not the Page whose ad produced this ctwa_clid."}, true
	case subIGSID:
		return userMessage{"Messaging Event Missing Instagram Scoped ID", "Instagram messaging events need an ig_sid."}, true
	case subIGAccount:
		return userMessage{"Messaging Event Missing Instagram Account", "Instagram messaging events need an ig_account_id."}, true
	case subOrderCurrency:
		return userMessage{"Missing Currency for OrderCreated Event", "OrderCreated events need a currency and a value."}, true
	case subClid:
		return userMessage{"Messaging Event Invalid Ctwa Clid", "The ctwa_clid is not one that an ad produced. Send it exactly as it came in the webhook."}, true
	case subNoAccount:
		return userMessage{"Messaging Event Missing Account", "Messaging events need a page_id or a whatsapp_business_account_id."}, true
	case subNoPage:
		return userMessage{"No Page Associated With Dataset", "This dataset is not linked to that Page. Use the dataset of the Page, or send the WhatsApp Business Account instead."}, true
	case subNoWABA:
		return userMessage{"No WhatsApp Business Account Linked", "This dataset is not linked to that WhatsApp Business Account."}, true
	case subNoIGAccountLink:
		return userMessage{"No Instagram Account Linked", "This dataset is not linked to that Instagram account."}, true
	}
	return userMessage{}, false
}

// translated has samples of the refusals that are met most.
func translated(lang string, subcode int) (userMessage, bool) {
	switch lang + "/" + label(subcode) {
	case "pt/old":
		return userMessage{"Carimbo de data/hora do evento muito antigo", "O carimbo de data/hora deste evento está muito no passado. Envie os eventos em até 7 dias."}, true
	case "pt/value":
		return userMessage{"Valor ausente para o evento de compra", "Adicione um valor numérico e uma moeda ao evento."}, true
	case "pt/type":
		return userMessage{"Tipo de evento inválido para mensagens", "Este nome de evento não é compatível com mensagens comerciais. Use \"Purchase\" ou \"LeadSubmitted\"."}, true
	case "pt/clid":
		return userMessage{"Ctwa Clid inválido no evento de mensagem", "O ctwa_clid não foi gerado por um anúncio."}, true
	case "es/old":
		return userMessage{"La marca de tiempo del evento es demasiado antigua", "La marca de tiempo de este evento es demasiado antigua. Envía los eventos en un plazo de 7 días."}, true
	case "es/value":
		return userMessage{"Falta el valor del evento de compra", "Añade un valor numérico y una divisa al evento."}, true
	case "es/type":
		return userMessage{"Tipo de evento de mensajes no válido", "Este nombre de evento no es compatible con los mensajes de empresa. Usa \"Purchase\" o \"LeadSubmitted\"."}, true
	case "es/clid":
		return userMessage{"Ctwa Clid no válido en el evento de mensajes", "Ningún anuncio ha generado este ctwa_clid."}, true
	case "da/old":
		return userMessage{"Hændelsens tidsstempel er for gammelt", "Tidsstemplet for denne hændelse ligger for langt tilbage. Send hændelser inden for 7 dage."}, true
	case "da/value":
		return userMessage{"Købshændelsen mangler en værdi", "Tilføj en talværdi og en valuta til hændelsen."}, true
	case "da/type":
		return userMessage{"Ugyldig hændelsestype for beskeder", "Dette hændelsesnavn understøttes ikke for virksomhedsbeskeder. Brug \"Purchase\" eller \"LeadSubmitted\"."}, true
	case "da/clid":
		return userMessage{"Ugyldigt Ctwa Clid i beskedhændelsen", "Ingen annonce har lavet dette ctwa_clid."}, true
	case "it/old":
		return userMessage{"Il timestamp dell'evento è troppo vecchio", "Il timestamp di questo evento è troppo lontano nel passato. Invia gli eventi entro 7 giorni."}, true
	case "it/value":
		return userMessage{"Valore mancante per l'evento di acquisto", "Aggiungi un valore numerico e una valuta all'evento."}, true
	case "it/type":
		return userMessage{"Tipo di evento non valido per i messaggi", "Questo nome di evento non è supportato per i messaggi aziendali. Usa \"Purchase\" o \"LeadSubmitted\"."}, true
	case "it/clid":
		return userMessage{"Ctwa Clid non valido nell'evento di messaggistica", "Nessuna inserzione ha generato questo ctwa_clid."}, true
	}
	return userMessage{}, false
}

func label(subcode int) string {
	switch subcode {
	case subTooOld:
		return "old"
	case subValue:
		return "value"
	case subEventType:
		return "type"
	case subClid:
		return "clid"
	}
	return ""
}

// anyMessage stands in for a refusal without a sample in that language.
func anyMessage(lang string) userMessage {
	switch lang {
	case "pt":
		return userMessage{"Parâmetro inválido", "Um parâmetro deste evento é inválido ou está ausente."}
	case "es":
		return userMessage{"Parámetro no válido", "Un parámetro de este evento no es válido o falta."}
	case "da":
		return userMessage{"Ugyldig parameter", "En parameter i denne hændelse er ugyldig eller mangler."}
	default:
		return userMessage{"Parametro non valido", "Un parametro di questo evento non è valido o manca."}
	}
}
