package ai.edgekit.demo.runtime;

import static org.junit.Assert.assertEquals;

import java.util.Map;
import org.junit.Test;

public final class ToleranceTest {
    /** tests/android/ reads the table out of docs/spec.md. */
    @Test
    public void tolerancesAreThoseOfTheDocumentation() throws Exception {
        Map<?, ?> table = Cases.json(Cases.made("tolerances.json"));
        assertEquals(9, table.size());
        for (Map.Entry<?, ?> scheme : table.entrySet()) {
            Map<?, ?> row = (Map<?, ?>) scheme.getValue();
            for (DelegateKind kind : DelegateKind.values()) {
                double expected = ((Number) row.get(kind.id)).doubleValue();
                assertEquals(scheme.getKey() + " " + kind, expected, Tolerance.of((String) scheme.getKey(), kind), 0);
            }
        }
    }
}
