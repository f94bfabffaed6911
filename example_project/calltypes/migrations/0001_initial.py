from __future__ import annotations

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="CallType",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        max_length=32,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[A-Za-z0-9_.]+\\Z", "Letters, digits, underscores and periods only."
                            )
                        ],
                    ),
                ),
                ("description", models.CharField(blank=True, default="", max_length=255)),
                ("threshold", models.PositiveIntegerField(blank=True, null=True)),
            ],
        ),
    ]
