package ai.edgekit.demo.runtime;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON (RFC 8259) and nothing else: org.json also takes comments, bare words and text behind the end, which
 * Python refuses. Gives Map, List, String, BigInteger (a number without fraction and exponent), Double, Boolean, null.
 */
final class Json {
    /** Deeper than any document that is read here; it keeps hostile ones from overflowing the stack. */
    private static final int MAX_DEPTH = 32;

    /** What Python's int() takes. */
    private static final int MAX_DIGITS = 4300;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** The value that UTF-8 bytes hold. */
    static Object parse(byte[] utf8) throws SpecException {
        try {
            // The decoder of a charset, unlike a String's constructor, reports what is no UTF-8.
            return parse(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8)).toString());
        } catch (CharacterCodingException error) {
            throw new SpecException("The document is not valid JSON: it is no UTF-8.");
        }
    }

    private static Object parse(String text) throws SpecException {
        Json json = new Json(text);
        json.skipSpace();
        Object value = json.value(0);
        json.skipSpace();
        if (json.at != text.length()) {
            throw json.invalid();
        }
        return value;
    }

    private Object value(int depth) throws SpecException {
        if (depth > MAX_DEPTH) {
            throw invalid();
        }
        switch (peek()) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object(int depth) throws SpecException {
        Map<String, Object> members = new LinkedHashMap<>();
        at++;
        skipSpace();
        if (peek() == '}') {
            at++;
            return members;
        }
        while (true) {
            if (peek() != '"') {
                throw invalid();
            }
            String key = string();
            skipSpace();
            expect(':');
            skipSpace();
            members.put(key, value(depth + 1));
            skipSpace();
            if (peek() == '}') {
                at++;
                return members;
            }
            expect(',');
            skipSpace();
        }
    }

    private List<Object> array(int depth) throws SpecException {
        List<Object> items = new ArrayList<>();
        at++;
        skipSpace();
        if (peek() == ']') {
            at++;
            return items;
        }
        while (true) {
            items.add(value(depth + 1));
            skipSpace();
            if (peek() == ']') {
                at++;
                return items;
            }
            expect(',');
            skipSpace();
        }
    }

    private String string() throws SpecException {
        StringBuilder content = new StringBuilder();
        at++;
        while (true) {
            char next = peek();
            at++;
            if (next == '"') {
                return content.toString();
            }
            if (next < ' ') {
                throw invalid();
            }
            content.append(next == '\\' ? escape() : next);
        }
    }

    private char escape() throws SpecException {
        char name = peek();
        at++;
        switch (name) {
            case '"':
            case '\\':
            case '/':
                return name;
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                int unit = 0;
                for (int i = 0; i < 4; i++) {
                    char digit = peek();
                    int number = digit < 128 ? Character.digit(digit, 16) : -1;
                    if (number < 0) {
                        throw invalid();
                    }
                    unit = unit << 4 | number;
                    at++;
                }
                return (char) unit;
            default:
                throw invalid();
        }
    }

    private Object number() throws SpecException {
        int start = at;
        if (peek() == '-') {
            at++;
        }
        if (peek() == '0') {
            at++;
        } else {
            digits();
        }
        boolean whole = true;
        if (more() && text.charAt(at) == '.') {
            whole = false;
            at++;
            digits();
        }
        if (more() && (text.charAt(at) == 'e' || text.charAt(at) == 'E')) {
            whole = false;
            at++;
            if (peek() == '+' || peek() == '-') {
                at++;
            }
            digits();
        }
        String number = text.substring(start, at);
        if (!whole) {
            return Double.valueOf(number);
        }
        if (number.length() > MAX_DIGITS) {
            throw invalid();
        }
        return new BigInteger(number);
    }

    private void digits() throws SpecException {
        int start = at;
        while (more() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        if (at == start) {
            throw invalid();
        }
    }

    private Object word(String word, Object value) throws SpecException {
        if (!text.startsWith(word, at)) {
            throw invalid();
        }
        at += word.length();
        return value;
    }

    private void skipSpace() {
        while (more() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private void expect(char wanted) throws SpecException {
        if (peek() != wanted) {
            throw invalid();
        }
        at++;
    }

    private char peek() throws SpecException {
        if (!more()) {
            throw invalid();
        }
        return text.charAt(at);
    }

    private boolean more() {
        return at < text.length();
    }

    private SpecException invalid() {
        return new SpecException("The document is not valid JSON at character " + at + ".");
    }
}
