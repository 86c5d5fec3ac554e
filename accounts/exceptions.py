"""Why a key does not let its bearer in. Each carries the API's code; none carries the key."""


class AuthenticationError(Exception):
    code = "invalid_api_key"
    message = "Invalid API key provided. Create or check your keys in the console."


class MissingApiKeyError(AuthenticationError):
    message = "No API key provided. Send it in the Authorization header: `Authorization: Bearer YOUR_API_KEY`."


class RevokedApiKeyError(AuthenticationError):
    code = "expired_api_key"
    message = "This API key has been revoked. Create a new one in the console."
