package sandbox

// userField is one member of user_data.
type userField uint32

const (
	userEm userField = 1 << iota
	userPh
	userFn
	userLn
	userDb
	userGe
	userCt
	userSt
	userZp
	userCountry
	userExternalID
	userIP
	userAgent
	userFbc
	userFbp
	userSubscriptionID
	userFbLoginID
	userLeadID
	userMadid
	userAnonID
	userClid
	userWABA
	userPage
	userPSID
	userIGAccount
	userIGSID
)

const (
	// hashedFields must be SHA-256 in lower-case hex.
	hashedFields = userEm | userPh | userFn | userLn | userDb | userGe | userCt | userSt | userZp | userCountry | userExternalID

	// browserFields are refused beside action_source business_messaging.
	browserFields = userIP | userAgent | userFbc | userFbp

	// keyFields each name a person on their own.
	keyFields = userEm | userPh | userExternalID | userFbc | userFbp | userSubscriptionID | userFbLoginID | userLeadID | userMadid | userAnonID | userPSID
)

// userFieldOf finds a member of user_data by its name; 0 means that Meta has none.
func userFieldOf(name []byte) userField {
	switch string(name) {
	case "em":
		return userEm
	case "ph":
		return userPh
	case "fn":
		return userFn
	case "ln":
		return userLn
	case "db":
		return userDb
	case "ge":
		return userGe
	case "ct":
		return userCt
	case "st":
		return userSt
	case "zp":
		return userZp
	case "country":
		return userCountry
	case "external_id":
		return userExternalID
	case "client_ip_address":
		return userIP
	case "client_user_agent":
		return userAgent
	case "fbc":
		return userFbc
	case "fbp":
		return userFbp
	case "subscription_id":
		return userSubscriptionID
	case "fb_login_id":
		return userFbLoginID
	case "lead_id":
		return userLeadID
	case "madid":
		return userMadid
	case "anon_id":
		return userAnonID
	case "ctwa_clid":
		return userClid
	case "whatsapp_business_account_id":
		return userWABA
	case "page_id":
		return userPage
	case "page_scoped_user_id":
		return userPSID
	case "ig_account_id":
		return userIGAccount
	case "ig_sid":
		return userIGSID
	}
	return 0
}

// messagingName reports whether name is on Meta's closed list for
// business_messaging (the guide's FAQ; case matters, no custom events).
func messagingName(name []byte) bool {
	switch string(name) {
	case "Purchase", "LeadSubmitted", "InitiateCheckout", "AddToCart", "ViewContent",
		"OrderCreated", "OrderShipped", "OrderDelivered", "OrderCanceled", "OrderReturned",
		"CartAbandoned", "QualifiedLead", "RatingProvided", "ReviewProvided":
		return true
	}
	return false
}

// customName reports whether name may be an event outside messaging: a standard
// name or one of the advertiser's own.
func customName(name []byte) bool {
	if len(name) == 0 || len(name) > 50 {
		return false
	}
	for _, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == ' ':
		default:
			return false
		}
	}
	return true
}

// actionSource reports whether Meta has the action source.
func actionSource(s []byte) bool {
	switch string(s) {
	case "business_messaging", "system_generated", "website", "app", "email", "phone_call", "chat", "physical_store", "other":
		return true
	}
	return false
}

// isHash reports whether s is a SHA-256 in lower-case hex.
func isHash(s []byte) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isDigits reports whether s is made of digits only.
func isDigits[T []byte | string](s T) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0
}
